"""What is deployed on AWS before the functions: one CloudFormation stack, and what the functions get from it.

    stack.yaml, state_machine.asl.json, glue.json ──template──▶ one template ──▶ the stack
    the stack's outputs ──render──▶ the Chalice stage: its environment, one policy file for each function

Nothing here runs on AWS, and nothing of the product imports it.
"""
