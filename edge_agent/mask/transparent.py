"""Built-in functions that show nothing but what their arguments hold, by name; all overloads of each were looked at."""

from __future__ import annotations

from typing import Final

from edge_agent.classify.names import words

ONE_ROW: Final = words(
    """
    abs ceil ceiling floor round trunc sign sqrt cbrt exp ln log power pow mod div gcd lcm greatest least width_bucket
    pi degrees radians sin cos tan asin acos atan atan2 random factorial numeric min_scale scale trim_scale
    lower upper initcap length char_length character_length octet_length bit_length substr substring left right
    position strpos overlay btrim ltrim rtrim trim lpad rpad repeat replace translate reverse split_part concat
    concat_ws format ascii chr to_hex md5 encode decode sha224 sha256 sha384 sha512 starts_with quote_literal
    quote_ident quote_nullable normalize convert_to convert_from string_to_array array_to_string regexp_replace
    regexp_like regexp_count regexp_instr regexp_substr regexp_match like similar_to_escape
    now date_trunc date_part extract age to_char to_date to_timestamp to_number make_date make_time make_timestamp
    make_interval make_timestamptz justify_days justify_hours justify_interval timezone date_bin isfinite
    clock_timestamp statement_timestamp transaction_timestamp timeofday
    array_length array_upper array_lower array_ndims array_dims cardinality array_append array_prepend array_cat
    array_position array_positions array_remove array_replace array_fill trim_array int4range int8range numrange
    daterange tsrange tstzrange lower_inc upper_inc isempty
    to_json to_jsonb row_to_json array_to_json json_build_object jsonb_build_object json_build_array jsonb_build_array
    json_object jsonb_object json_typeof jsonb_typeof json_array_length jsonb_array_length json_extract_path
    jsonb_extract_path json_extract_path_text jsonb_extract_path_text jsonb_set jsonb_insert jsonb_pretty
    json_strip_nulls jsonb_strip_nulls
    count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and bool_or
    every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp
    regr_slope regr_intercept regr_count regr_r2 regr_avgx regr_avgy mode percentile_cont percentile_disc any_value
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    num_nulls num_nonnulls hashtext gen_random_uuid uuidv4 uuidv7
    """
)
"""They answer with one value a row or group."""

MANY_ROWS: Final = words(
    """
    generate_series generate_subscripts unnest regexp_split_to_table regexp_matches string_to_table
    json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_each jsonb_each
    json_each_text jsonb_each_text json_object_keys jsonb_object_keys
    """
)
"""They answer with rows, so that their number tells of the arguments, too."""
