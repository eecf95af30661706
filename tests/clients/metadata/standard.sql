-- The standard's information_schema, as tools for any database read it.
SELECT schema_name FROM information_schema.schemata ORDER BY schema_name;

SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type IN ('BASE TABLE', 'VIEW');

SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale, is_nullable,
column_default, is_identity, is_generated, udt_name FROM information_schema.columns
WHERE table_schema = 'shop' ORDER BY table_name, ordinal_position;

SELECT tc.constraint_name, tc.table_name, kcu.column_name, ccu.table_name AS foreign_table_name,
ccu.column_name AS foreign_column_name, rc.update_rule, rc.delete_rule
FROM information_schema.table_constraints AS tc
JOIN information_schema.key_column_usage AS kcu USING (constraint_schema, constraint_name)
JOIN information_schema.referential_constraints AS rc USING (constraint_schema, constraint_name)
JOIN information_schema.constraint_column_usage AS ccu USING (constraint_schema, constraint_name)
WHERE tc.constraint_type = 'FOREIGN KEY';

SELECT cc.check_clause, tc.table_name FROM information_schema.check_constraints cc
JOIN information_schema.table_constraints tc USING (constraint_schema, constraint_name);

SELECT table_schema, table_name, view_definition, is_updatable FROM information_schema.views LIMIT 20;

SELECT r.routine_schema, r.routine_name, r.data_type, r.routine_definition, p.parameter_name, p.data_type
FROM information_schema.routines r LEFT JOIN information_schema.parameters p ON r.specific_name = p.specific_name
WHERE r.specific_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY r.routine_name, p.ordinal_position;

SELECT event_object_table, trigger_name, event_manipulation, action_statement, action_timing
FROM information_schema.triggers;

SELECT sequence_schema, sequence_name, start_value, increment FROM information_schema.sequences;

SELECT grantor, grantee, table_schema, table_name, column_name, privilege_type
FROM information_schema.column_privileges WHERE table_schema = 'shop';

SELECT * FROM information_schema.enabled_roles;

SELECT d.domain_name, d.data_type, dc.constraint_name FROM information_schema.domains d
LEFT JOIN information_schema.domain_constraints dc USING (domain_schema, domain_name) LIMIT 10;

SELECT feature_id, feature_name FROM information_schema.sql_features WHERE is_supported = 'YES' LIMIT 5;

SELECT u.object_name, a.attribute_name FROM information_schema.user_defined_types t
JOIN information_schema.attributes a ON a.udt_name = t.user_defined_type_name
JOIN information_schema.usage_privileges u ON u.object_name = a.udt_name::text
JOIN information_schema.data_type_privileges u2 ON true LIMIT 1;
