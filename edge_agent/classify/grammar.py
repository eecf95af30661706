"""Which nodes of the grammar a walk may meet, and of which type each field is.

The lists are allow-lists: a node that is not listed makes the text uncertain, so a newer grammar can only make things
unknown. Types of fields come from the grammar's own description (pg_query.proto, in postgast), since a field of a
fixed type has no type name in the JSON: the arms of a UNION are bare structs.
"""

from __future__ import annotations

from typing import Final

from edge_agent.classify.libpg_query import FIELD_TYPES
from edge_agent.classify.names import words

ANY_NODE: Final = "Node"

LEAVES: Final = words(
    "A_Const A_Star ParamRef String Integer Float Boolean BitString SetToDefault SQLValueFunction CurrentOfExpr"
)
"""Nodes that hold no node and mean nothing by themselves."""

JUDGED: Final = words(
    """
    SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt RangeVar FuncCall TypeName A_Expr SortBy SubLink ColumnRef
    A_Indirection LockingClause IntoClause RangeTableSample RangeFunction
    """
)
"""Nodes of a query that `walk` judges."""

PLAIN: Final = LEAVES | words(
    """
    Alias A_ArrayExpr A_Indices BoolExpr BooleanTest CaseExpr CaseWhen CoalesceExpr CollateClause ColumnDef
    CommonTableExpr CTECycleClause CTESearchClause GroupingFunc GroupingSet InferClause JoinExpr List MergeWhenClause
    MergeSupportFunc MinMaxExpr MultiAssignRef NamedArgExpr NullTest OnConflictClause IndexElem RangeSubselect
    RangeTableFunc RangeTableFuncCol ResTarget ReturningClause ReturningOption RowExpr TypeCast WindowDef WithClause
    XmlExpr XmlSerialize JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor
    JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonOutput
    JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr JsonTable JsonTableColumn JsonTablePathSpec
    JsonValueExpr
    """
)
"""Nodes of a query that mean nothing by themselves; what they hold is walked."""

DEFINING: Final = words(
    """
    AccessPriv AlterTableCmd ATAlterConstraint Constraint CreateOpClassItem DefElem FunctionParameter ObjectWithArgs
    PartitionBoundSpec PartitionCmd PartitionElem PartitionRangeDatum PartitionSpec ReplicaIdentityStmt ReturnStmt
    RoleSpec StatsElem TableLikeClause TriggerTransition VacuumRelation PublicationObjSpec PublicationTable CreateStmt
    IndexStmt CreateSeqStmt AlterSeqStmt ViewStmt CreateTrigStmt CreateTableAsStmt CreateForeignTableStmt
    AlterTableStmt CreateSchemaStmt RuleStmt NotifyStmt DefineStmt CreateDomainStmt AlterDomainStmt RenameStmt
    AlterObjectSchemaStmt AlterObjectDependsStmt CreateFunctionStmt AlterFunctionStmt CreateStatsStmt AlterStatsStmt
    CompositeTypeStmt CreateEnumStmt CreateRangeStmt AlterEnumStmt AlterTypeStmt AlterCollationStmt AlterOperatorStmt
    CommentStmt DropStmt AlterTSDictionaryStmt AlterTSConfigurationStmt RefreshMatViewStmt ClusterStmt ReindexStmt
    VacuumStmt TruncateStmt
    """
)
"""Further nodes, inside definitions only."""

QUERY_NODES: Final = JUDGED | PLAIN
DEFINITION_NODES: Final = QUERY_NODES | DEFINING

ALL_NODES: Final = frozenset(FIELD_TYPES[ANY_NODE].values())
"""Every node name of the grammar."""
