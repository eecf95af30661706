-- What psql asks at the tab key: one line of names for what was typed.
SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p')
AND (c.relname) LIKE 'or%' AND pg_catalog.pg_table_is_visible(c.oid)
UNION ALL
SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'or%'
LIMIT 1000;

SELECT a.attname FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid AND a.attnum > 0
AND NOT a.attisdropped AND substring(pg_catalog.quote_ident(attname), 1, 2) = 'to'
AND (pg_catalog.quote_ident(relname) = 'orders' OR '"' || relname || '"' = 'orders')
AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1000;

SELECT pg_catalog.quote_ident(p.proname) || '(' FROM pg_catalog.pg_proc p WHERE p.prokind IN ('f', 'w')
AND substring(pg_catalog.quote_ident(p.proname), 1, 3) = 'pg_' AND pg_catalog.pg_function_is_visible(p.oid)
LIMIT 1000;

SELECT lower(name) FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser') AND lower(name) LIKE 'work%'
UNION ALL SELECT 'constraints' UNION ALL SELECT 'transaction' UNION ALL SELECT 'session' LIMIT 1000;

SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles WHERE rolname LIKE 'po%'
UNION ALL SELECT 'PUBLIC' UNION ALL SELECT 'CURRENT_ROLE' UNION ALL SELECT 'SESSION_USER' LIMIT 1000;

SELECT pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t WHERE (t.typrelid = 0
OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)) AND t.typname !~ '^_'
AND pg_catalog.pg_type_is_visible(t.oid) LIMIT 1000;

SELECT t.typname, pg_catalog.pg_describe_object(1247, t.oid, 0), e.enumlabel FROM pg_catalog.pg_enum e,
pg_catalog.pg_type t WHERE t.oid = e.enumtypid AND pg_catalog.pg_type_is_visible(t.oid) LIMIT 1000;

SELECT conname FROM pg_catalog.pg_constraint c, pg_catalog.pg_class t WHERE c.conrelid = t.oid
AND t.relname = 'orders' AND c.conname LIKE '%' LIMIT 1000;

SELECT name FROM pg_catalog.pg_prepared_statements WHERE name LIKE '%' LIMIT 1000;

SELECT name FROM pg_catalog.pg_cursors WHERE name LIKE '%' LIMIT 1000;

SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.array_to_string(d.datacl, E'\n'),
pg_catalog.has_database_privilege(d.datname, 'CONNECT') FROM pg_catalog.pg_database d;
