//! What stands in `FROM`: tables, queries, functions, and how they are joined.

use sqlparser::ast::{
    Expr, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias, TableAliasColumnDef, TableFactor,
    TableFunctionArgs, TableWithJoins,
};

use super::super::name::is_name;
use super::super::{Refused, types};
use super::{Walk, empty, none};

impl Walk<'_> {
    pub(super) fn item_of_from(&mut self, item: &TableWithJoins) -> Result<(), Refused> {
        let TableWithJoins { relation, joins } = item;
        self.down(|walk| {
            walk.factor(relation)?;
            joins.iter().try_for_each(|join| walk.join(join))
        })
    }

    fn join(&mut self, join: &Join) -> Result<(), Refused> {
        let Join { relation, global, join_operator } = join;
        if *global {
            return Err(Refused::Construct { what: "GLOBAL JOIN" });
        }
        self.factor(relation)?;
        match join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint) => match constraint {
                JoinConstraint::On(condition) => self.expression(condition),
                JoinConstraint::Using(columns) => columns.iter().try_for_each(Self::names),
                JoinConstraint::Natural | JoinConstraint::None => Ok(()),
            },
            _ => Err(Refused::Construct { what: "an uncommon kind of JOIN" }),
        }
    }

    fn factor(&mut self, factor: &TableFactor) -> Result<(), Refused> {
        match factor {
            TableFactor::Table { .. } => self.table_or_function(factor),
            TableFactor::Derived { lateral: _, subquery, alias, sample } => {
                none(sample.as_ref(), "TABLESAMPLE")?;
                self.maybe_alias(alias.as_ref())?;
                self.query(subquery)
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality: _, alias } => {
                self.maybe_alias(alias.as_ref())?;
                self.function_name(name)?;
                self.arguments(args)
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality: _ } => {
                if *with_offset {
                    return Err(Refused::Construct { what: "WITH OFFSET" });
                }
                none(with_offset_alias.as_ref(), "WITH OFFSET")?;
                self.maybe_alias(alias.as_ref())?;
                self.expressions(array_exprs)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.maybe_alias(alias.as_ref())?;
                self.item_of_from(table_with_joins)
            }
            _ => Err(Refused::Construct { what: "an uncommon item of FROM" }),
        }
    }

    /// `orders`, or `generate_series(1, 10)`.
    fn table_or_function(&mut self, factor: &TableFactor) -> Result<(), Refused> {
        let (name, args) = self.bare_table(factor)?;
        match args {
            None => {
                Self::names(name)?;
                self.read_table(name)
            }
            Some(TableFunctionArgs { args, settings }) => {
                none(settings.as_ref(), "SETTINGS")?;
                self.function_name(name)?;
                self.arguments(args)
            }
        }
    }

    /// The name of a table that is written to.
    pub(super) fn target(&mut self, item: &TableWithJoins) -> Result<(), Refused> {
        let TableWithJoins { relation, joins } = item;
        empty(joins, "a JOIN of the table that is written to")?;
        let (name, args) = self.bare_table(relation)?;
        none(args, "a function as the table that is written to")?;
        Self::names(name)?;
        self.written_table(name)
    }

    /// A table or function by its name, and nothing else that dialects add.
    fn bare_table<'n>(
        &self,
        factor: &'n TableFactor,
    ) -> Result<(&'n ObjectName, Option<&'n TableFunctionArgs>), Refused> {
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality: _,
            partitions,
            json_path,
            sample,
            index_hints,
        } = factor
        else {
            return Err(Refused::Construct { what: "anything but a table's name here" });
        };
        empty::<Expr>(with_hints, "a hint")?;
        none(version.as_ref(), "a version of a table")?;
        empty(partitions, "PARTITION")?;
        none(json_path.as_ref(), "a path into a table")?;
        none(sample.as_ref(), "TABLESAMPLE")?;
        empty(index_hints, "a hint")?;
        self.maybe_alias(alias.as_ref())?;
        Ok((name, args.as_ref()))
    }

    fn maybe_alias(&self, alias: Option<&TableAlias>) -> Result<(), Refused> {
        alias.map_or(Ok(()), |alias| self.alias(alias))
    }

    #[expect(clippy::unused_self, reason = "it stands with the other nodes")]
    pub(super) fn alias(&self, alias: &TableAlias) -> Result<(), Refused> {
        let TableAlias { explicit: _, name, columns, at } = alias;
        none(at.as_ref(), "AT")?;
        is_name(name)?;
        for TableAliasColumnDef { name, data_type } in columns {
            is_name(name)?;
            data_type.as_ref().map_or(Ok(()), types::data_type)?;
        }
        Ok(())
    }

    /// Words that must be names.
    pub(super) fn names(name: &ObjectName) -> Result<(), Refused> {
        name.0.iter().try_for_each(|part| match part {
            ObjectNamePart::Identifier(word) => is_name(word),
            ObjectNamePart::Function(_) => Err(Refused::Construct { what: "a function in the place of a name" }),
        })
    }
}
