-- What tools send just after they have connected.
SET extra_float_digits = 3;

SET application_name = 'a tool - main';

SET application_name TO DEFAULT;

SET DateStyle = ISO;

SET datestyle TO 'ISO, MDY';

SET IntervalStyle = iso_8601;

SET TIME ZONE 'UTC';

SET SESSION TIME ZONE INTERVAL '+01:00' HOUR TO MINUTE;

SET timezone = 'Europe/Berlin';

SET client_encoding TO 'UTF8';

SET NAMES 'UTF8';

SET client_min_messages TO warning;

SET client_min_messages = notice;

SET bytea_output = 'hex';

SET statement_timeout = 300000;

SET statement_timeout TO '5min';

SET SESSION statement_timeout = 0;

SET lock_timeout = '2s';

SET idle_in_transaction_session_timeout = '60s';

SET standard_conforming_strings = on;

SET search_path TO shop, public;

SET search_path = '';

SET SCHEMA 'shop';

RESET search_path;

SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;

SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;

SET default_transaction_read_only = on;

SET default_transaction_isolation TO 'read committed';

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

SET row_security = off;

SET row_security = on;

SET enable_seqscan = on;

SET jit = off;

SET cursor_tuple_fraction = 1.0;

SET geqo = off;

SET ssl_renegotiation_limit = 0;

SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output';

SELECT set_config('application_name', 'a tool', false);

SELECT set_config('search_path', 'shop, public', false);

SELECT pg_catalog.set_config('search_path', '', false);

SELECT set_config('bytea_output','hex',false), set_config('client_encoding', 'UTF8', false);

SHOW transaction_isolation;

SHOW TRANSACTION ISOLATION LEVEL;

SHOW standard_conforming_strings;

SHOW search_path;

SELECT current_setting('search_path'), current_setting('is_superuser', true), current_setting('a.b', true);

SELECT oid, typname FROM pg_type WHERE typname IN ('hstore', 'geometry', 'citext', 'vector');

SELECT pg_backend_pid(), pg_is_in_recovery(), inet_client_addr();

UNLISTEN *;

CLOSE ALL;

DEALLOCATE ALL;

RESET ALL;

DISCARD ALL;

SET default_tablespace = '';

SET default_table_access_method = heap;

SET xmloption = content;

SET check_function_bodies = false;

SET DateStyle = 'ISO';SET extra_float_digits = 2;show transaction_isolation;

SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;DISCARD SEQUENCES;DISCARD TEMP;

DISCARD TEMPORARY;

DISCARD PLANS;

SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;
