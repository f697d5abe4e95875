//! `INSERT`, `UPDATE` and `DELETE`. What they read besides, in queries and `RETURNING`, needs `SELECT` to be allowed.

use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, DoUpdate, FromTable, Insert, OnConflict, OnConflictAction,
    OnInsert, SelectItem, TableAliasWithoutColumns, TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

use super::super::name::is_name;
use super::super::{Refused, StatementKind};
use super::{Walk, empty, none};

const FORM: &str = "an uncommon form of INSERT";

impl Walk<'_> {
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<(), Refused> {
        let Insert {
            insert_token: _,
            optimizer_hints,
            or,
            ignore,
            into: _,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        if *ignore || *overwrite || *has_table_keyword || *replace_into {
            return Err(Refused::Construct { what: FORM });
        }
        // `OR REPLACE` deletes rows.
        none(or.as_ref(), "INSERT OR")?;
        empty(optimizer_hints, "a hint")?;
        empty(assignments, FORM)?;
        none(partitioned.as_ref(), FORM)?;
        empty(after_columns, FORM)?;
        none(output.as_ref(), "OUTPUT")?;
        none(priority.as_ref(), FORM)?;
        none(insert_alias.as_ref(), FORM)?;
        none(settings.as_ref(), FORM)?;
        none(format_clause.as_ref(), FORM)?;
        none(multi_table_insert_type.as_ref(), FORM)?;
        empty(multi_table_into_clauses, FORM)?;
        empty(multi_table_when_clauses, FORM)?;
        none(multi_table_else_clause.as_ref(), FORM)?;
        let TableObject::TableName(name) = table else {
            return Err(Refused::Construct { what: FORM });
        };
        Self::names(name)?;
        self.written_table(name)?;
        if let Some(TableAliasWithoutColumns { explicit: _, alias }) = table_alias {
            is_name(alias)?;
        }
        columns.iter().try_for_each(Self::names)?;
        source.as_ref().map_or(Ok(()), |query| self.query(query))?;
        on.as_ref().map_or(Ok(()), |on| self.on_insert(on))?;
        self.returning(returning.as_deref())
    }

    fn on_insert(&mut self, on: &OnInsert) -> Result<(), Refused> {
        let OnInsert::OnConflict(OnConflict { conflict_target, action }) = on else {
            return Err(Refused::Construct { what: "ON DUPLICATE KEY" });
        };
        match conflict_target {
            None => {}
            Some(ConflictTarget::Columns(columns)) => columns.iter().try_for_each(is_name)?,
            Some(ConflictTarget::OnConstraint(name)) => Self::names(name)?,
        }
        match action {
            OnConflictAction::DoNothing => Ok(()),
            OnConflictAction::DoUpdate(DoUpdate { assignments, selection }) => {
                self.allowed.allows(StatementKind::Update)?;
                self.assignments(assignments)?;
                self.maybe(selection.as_ref())
            }
        }
    }

    pub(super) fn update(&mut self, update: &Update) -> Result<(), Refused> {
        let Update {
            update_token: _,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        empty(optimizer_hints, "a hint")?;
        none(output.as_ref(), "OUTPUT")?;
        none(or.as_ref(), "UPDATE OR")?;
        empty(order_by, "ORDER BY in UPDATE")?;
        none(limit.as_ref(), "LIMIT in UPDATE")?;
        self.target(table)?;
        self.assignments(assignments)?;
        match from {
            None => {}
            Some(UpdateTableFromKind::AfterSet(items)) => self.read_items(items)?,
            Some(UpdateTableFromKind::BeforeSet(_)) => return Err(Refused::Construct { what: "FROM before SET" }),
        }
        self.maybe(selection.as_ref())?;
        self.returning(returning.as_deref())
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<(), Refused> {
        let Delete {
            delete_token: _,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        empty(optimizer_hints, "a hint")?;
        empty(tables, "DELETE from several tables")?;
        none(output.as_ref(), "OUTPUT")?;
        empty(order_by, "ORDER BY in DELETE")?;
        none(limit.as_ref(), "LIMIT in DELETE")?;
        match from {
            FromTable::WithFromKeyword(tables) => match tables.as_slice() {
                [table] => self.target(table)?,
                _ => return Err(Refused::Construct { what: "DELETE from several tables" }),
            },
            FromTable::WithoutKeyword(_) => return Err(Refused::Construct { what: "DELETE without FROM" }),
        }
        using.as_ref().map_or(Ok(()), |items| self.read_items(items))?;
        self.maybe(selection.as_ref())?;
        self.returning(returning.as_deref())
    }

    fn read_items(&mut self, items: &[TableWithJoins]) -> Result<(), Refused> {
        self.allowed.allows(StatementKind::Select)?;
        items.iter().try_for_each(|item| self.item_of_from(item))
    }

    fn returning(&mut self, items: Option<&[SelectItem]>) -> Result<(), Refused> {
        let Some(items) = items else {
            return Ok(());
        };
        self.allowed.allows(StatementKind::Select)?;
        self.select_items(items)
    }

    fn assignments(&mut self, assignments: &[Assignment]) -> Result<(), Refused> {
        for Assignment { target, value } in assignments {
            match target {
                AssignmentTarget::ColumnName(name) => Self::names(name)?,
                AssignmentTarget::Tuple(names) => names.iter().try_for_each(Self::names)?,
            }
            self.expression(value)?;
        }
        Ok(())
    }
}
