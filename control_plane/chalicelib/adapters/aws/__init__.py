"""The AWS backend: DynamoDB, Step Functions, SQS, S3, KMS, SES, behind the ports. The only place that knows boto3."""
