-- What tools made for PostgreSQL alone look up: dashboards of a server, statistics, definitions, privileges.
SELECT CASE WHEN usesuper THEN pg_is_in_recovery() ELSE FALSE END AS inrecovery,
CASE WHEN usesuper AND pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE FALSE END AS isreplaypaused
FROM pg_user WHERE usename = current_user;

SELECT db.oid AS did, db.datname AS name, ta.spcname AS spcname, db.datallowconn, db.datistemplate AS is_template,
pg_catalog.has_database_privilege(db.oid, 'CREATE') AS cancreate, datdba AS owner, descr.description
FROM pg_catalog.pg_database db
LEFT OUTER JOIN pg_catalog.pg_tablespace ta ON db.dattablespace = ta.oid
LEFT OUTER JOIN pg_catalog.pg_shdescription descr ON (db.oid = descr.objoid AND
descr.classoid = 'pg_database'::regclass)
WHERE db.oid > 0::OID ORDER BY datname;

SELECT roles.oid AS id, roles.rolname AS name, roles.rolsuper AS is_superuser,
CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END AS can_create_role,
CASE WHEN 'pg_signal_backend' = ANY(ARRAY(WITH RECURSIVE cte AS (SELECT pg_roles.oid, pg_roles.rolname FROM pg_roles
WHERE pg_roles.oid = roles.oid UNION ALL SELECT m.roleid, pgr.rolname FROM cte cte_1 JOIN pg_auth_members m
ON m.member = cte_1.oid JOIN pg_roles pgr ON pgr.oid = m.roleid) SELECT rolname FROM cte)) THEN True
ELSE False END AS can_signal_backend
FROM pg_catalog.pg_roles AS roles WHERE rolname = current_user;

SELECT 'session_stats' AS chart_name, pg_catalog.row_to_json(t) AS chart_data FROM (SELECT
(SELECT count(*) FROM pg_catalog.pg_stat_activity) AS "Total",
(SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active') AS "Active") t
UNION ALL
SELECT 'tps_stats' AS chart_name, pg_catalog.row_to_json(t) AS chart_data FROM (SELECT
(SELECT sum(xact_commit) + sum(xact_rollback) FROM pg_catalog.pg_stat_database) AS "Transactions",
(SELECT sum(tup_inserted) FROM pg_catalog.pg_stat_database) AS "Inserts") t
UNION ALL
SELECT 'bio_stats', pg_catalog.row_to_json(t) FROM (SELECT (SELECT sum(blks_read) FROM pg_catalog.pg_stat_database)
AS "Reads") t;

SELECT pid, datname, usename, application_name, client_addr, pg_catalog.to_char(backend_start,
'YYYY-MM-DD HH24:MI:SS TZ') AS backend_start, state, wait_event_type || ': ' || wait_event AS wait_event,
array_to_string(pg_catalog.pg_blocking_pids(pid), ', ') AS blocking_pids, query_start, backend_type,
CASE WHEN state = 'active' THEN ROUND((extract(epoch FROM now() - query_start) / 60)::numeric, 2) ELSE 0 END
FROM pg_catalog.pg_stat_activity WHERE datname = (SELECT datname FROM pg_catalog.pg_database
WHERE datname = current_database()) ORDER BY pid;

SELECT rel.oid, rel.relname AS name, (SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = rel.oid
AND tgisinternal = FALSE) AS triggercount, (SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = rel.oid
AND tgisinternal = FALSE AND tgenabled = 'O') AS has_enable_triggers,
(CASE WHEN rel.relkind = 'p' THEN true ELSE false END) AS is_partitioned,
(SELECT count(1) FROM pg_catalog.pg_inherits WHERE inhrelid = rel.oid LIMIT 1) AS is_inherits, des.description
FROM pg_catalog.pg_class rel
LEFT OUTER JOIN pg_catalog.pg_description des ON (des.objoid = rel.oid AND des.objsubid = 0
AND des.classoid = 'pg_class'::regclass)
WHERE rel.relkind IN ('r', 's', 't', 'p') AND rel.relnamespace = 'shop'::regnamespace AND NOT rel.relispartition
ORDER BY rel.relname;

SELECT 'relacl' AS deftype, COALESCE(gt.rolname, 'PUBLIC') AS grantee, g.rolname AS grantor,
pg_catalog.array_agg(privilege_type) AS privileges, pg_catalog.array_agg(is_grantable) AS grantable
FROM (SELECT d.grantee, d.grantor, d.is_grantable, CASE d.privilege_type WHEN 'CONNECT' THEN 'c' WHEN 'CREATE' THEN 'C'
WHEN 'DELETE' THEN 'd' WHEN 'EXECUTE' THEN 'X' WHEN 'INSERT' THEN 'a' WHEN 'SELECT' THEN 'r' WHEN 'UPDATE' THEN 'w'
ELSE 'UNKNOWN' END AS privilege_type
FROM (SELECT rel.relacl FROM pg_catalog.pg_class rel WHERE rel.oid = 'shop.orders'::regclass) acl,
(SELECT (d).grantee AS grantee, (d).grantor AS grantor, (d).is_grantable AS is_grantable,
(d).privilege_type AS privilege_type FROM (SELECT aclexplode(rel.relacl) AS d FROM pg_catalog.pg_class rel
WHERE rel.oid = 'shop.orders'::regclass) a) d) d
LEFT JOIN pg_catalog.pg_roles g ON (d.grantor = g.oid) LEFT JOIN pg_catalog.pg_roles gt ON (d.grantee = gt.oid)
GROUP BY g.rolname, gt.rolname;

SELECT att.attname AS name, att.*, def.*, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS defval,
CASE WHEN att.attndims > 0 THEN 1 ELSE 0 END AS isarray, format_type(ty.oid, NULL) AS typname,
format_type(ty.oid, att.atttypmod) AS displaytypname, tn.nspname AS typnspname, et.typname AS elemtypname,
ty.typstorage AS defaultstorage, cl.relname, na.nspname, quote_ident(na.nspname) || '.' || quote_ident(cl.relname)
AS parent_tbl, coll.collname,
(SELECT count(1) FROM pg_catalog.pg_type t2 WHERE t2.typname = ty.typname) > 1 AS isdup, indkey, seq.*
FROM pg_catalog.pg_attribute att
JOIN pg_catalog.pg_type ty ON ty.oid = atttypid
JOIN pg_catalog.pg_namespace tn ON tn.oid = ty.typnamespace
JOIN pg_catalog.pg_class cl ON cl.oid = att.attrelid
JOIN pg_catalog.pg_namespace na ON na.oid = cl.relnamespace
LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = ty.typelem
LEFT OUTER JOIN pg_catalog.pg_attrdef def ON adrelid = att.attrelid AND adnum = att.attnum
LEFT OUTER JOIN (pg_catalog.pg_depend JOIN pg_catalog.pg_class cs ON classid = 'pg_class'::regclass AND objid = cs.oid
AND cs.relkind = 'S') ON refobjid = att.attrelid AND refobjsubid = att.attnum
LEFT OUTER JOIN pg_catalog.pg_index pi ON pi.indrelid = att.attrelid AND indisprimary
LEFT OUTER JOIN pg_catalog.pg_collation coll ON att.attcollation = coll.oid
LEFT OUTER JOIN pg_catalog.pg_sequence seq ON cs.oid = seq.seqrelid
WHERE att.attrelid = 'shop.orders'::regclass AND att.attnum > 0 AND att.attisdropped IS FALSE ORDER BY att.attnum;

SELECT schemaname, st.relname, seq_scan, idx_scan, n_tup_ins, n_tup_upd, n_tup_del, n_live_tup, n_dead_tup, last_vacuum,
last_autovacuum, pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size(st.relid)
+ CASE WHEN cl.reltoastrelid = 0 THEN 0 ELSE pg_catalog.pg_relation_size(cl.reltoastrelid) + COALESCE((SELECT
SUM(pg_catalog.pg_relation_size(indexrelid)) FROM pg_catalog.pg_index WHERE indrelid = cl.reltoastrelid)::int8, 0) END)
FROM pg_catalog.pg_stat_all_tables st JOIN pg_catalog.pg_class cl ON cl.oid = st.relid WHERE schemaname = 'shop';

SELECT indexrelname, idx_scan, idx_tup_read, idx_tup_fetch, pg_size_pretty(pg_relation_size(indexrelid::regclass))
FROM pg_stat_all_indexes WHERE schemaname = 'shop' ORDER BY pg_relation_size(indexrelid) DESC;

SELECT datname, numbackends, xact_commit, xact_rollback, blks_hit * 100 / nullif(blks_hit + blks_read, 0) AS hit_ratio,
temp_files, deadlocks, pg_database_size(datname), age(datfrozenxid)
FROM pg_stat_database JOIN pg_database USING (datname) WHERE datname = current_database();

SELECT name, setting, unit, category, short_desc, context, vartype, min_val, max_val, enumvals, boot_val, reset_val
FROM pg_settings WHERE source NOT IN ('default', 'override');

SELECT pg_postmaster_start_time(), pg_conf_load_time(), inet_server_addr(), inet_server_port(),
date_trunc('second', current_timestamp - pg_postmaster_start_time()) AS uptime, pg_encoding_to_char(encoding)
FROM pg_database WHERE datname = current_database();

SELECT schemaname, tablename, policyname, permissive, roles, cmd, qual, with_check FROM pg_policies;

SELECT rolname, rolconnlimit, ARRAY(SELECT b.rolname FROM pg_auth_members m JOIN pg_roles b ON m.roleid = b.oid
WHERE m.member = r.oid) AS memberof, shobj_description(r.oid, 'pg_authid') FROM pg_roles r WHERE rolname !~ '^pg_';

SELECT c.collname, n.nspname, c.collcollate, c.collctype, c.collprovider FROM pg_collation c, pg_namespace n
WHERE c.collnamespace = n.oid AND c.collencoding IN (-1, (SELECT encoding FROM pg_database
WHERE datname = current_database())) LIMIT 50;

SELECT evtname, evtevent, evtenabled, evttags, p.proname FROM pg_event_trigger JOIN pg_proc p ON p.oid = evtfoid;

SELECT pubname, schemaname, tablename FROM pg_publication_tables;

SELECT l.lanname, l.lanpltrusted, h.proname, v.proname FROM pg_language l LEFT JOIN pg_proc h ON h.oid = l.lanplcallfoid
LEFT JOIN pg_proc v ON v.oid = l.lanvalidator;

SELECT name, default_version, installed_version, comment FROM pg_available_extensions ORDER BY name;

SELECT blocked.pid, blocking.pid FROM pg_locks blocked JOIN pg_locks blocking ON blocking.locktype = blocked.locktype
AND blocking.database IS NOT DISTINCT FROM blocked.database AND blocking.relation IS NOT DISTINCT FROM blocked.relation
AND blocking.pid <> blocked.pid WHERE NOT blocked.granted;

SELECT current_database(), schemaname, tablename, ROUND((CASE WHEN otta = 0 THEN 0.0 ELSE
sml.relpages::float / otta END)::numeric, 1) AS tbloat
FROM (SELECT schemaname, tablename, cc.relpages, CEIL((cc.reltuples * 30) / 8168) AS otta
FROM (SELECT n.nspname AS schemaname, c.relname AS tablename FROM pg_class c JOIN pg_namespace n
ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = 'shop') rs
JOIN pg_class cc ON cc.relname = rs.tablename) AS sml;

SELECT null_frac, n_distinct, most_common_freqs, correlation FROM pg_stats WHERE schemaname = 'shop';
