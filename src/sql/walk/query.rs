//! Queries: `WITH`, `SELECT`, `VALUES`, set operations, order and bounds. Not what stands in `FROM`, nor expressions.

use sqlparser::ast::{
    Cte, Distinct, Fetch, GroupByExpr, Ident, LimitClause, NamedWindowDefinition, NamedWindowExpr, Offset, OrderBy,
    OrderByExpr, OrderByKind, OrderByOptions, OrderBySort, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetQuantifier, Values, WildcardAdditionalOptions, With,
};

use super::super::name::{folded_word, is_name};
use super::super::{Refused, StatementKind};
use super::{Walk, empty, none};

impl Walk<'_> {
    /// A query, wherever it stands.
    pub(super) fn query(&mut self, query: &Query) -> Result<(), Refused> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        empty(locks, "a lock (FOR UPDATE, FOR SHARE)")?;
        none(for_clause.as_ref(), "a FOR clause")?;
        none(settings.as_ref(), "a SETTINGS clause")?;
        none(format_clause.as_ref(), "a FORMAT clause")?;
        empty(pipe_operators, "a pipe operator")?;
        let in_force = self.with.len();
        let outcome = self.down(|walk| {
            if let Some(with) = with {
                walk.with(with)?;
            }
            walk.body(body)?;
            if let Some(order_by) = order_by {
                walk.order_by(order_by)?;
            }
            if let Some(limit) = limit_clause {
                walk.limit(limit)?;
            }
            if let Some(fetch) = fetch {
                walk.fetch(fetch)?;
            }
            Ok(())
        });
        self.with.truncate(in_force);
        outcome
    }

    /// A name is in force after its query; within it only if `WITH` is `RECURSIVE`. Where databases also see names
    /// that come later, those count as tables here.
    fn with(&mut self, with: &With) -> Result<(), Refused> {
        let With { with_token: _, recursive, cte_tables } = with;
        for cte in cte_tables {
            let Cte { alias, query, from, materialized: _, closing_paren_token: _ } = cte;
            none(from.as_ref(), "FROM after a WITH query")?;
            self.alias(alias)?;
            let name = folded_word(self.dialect(), &alias.name)?;
            if *recursive {
                self.with.push(name);
                self.query(query)?;
            } else {
                self.query(query)?;
                self.with.push(name);
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &SetExpr) -> Result<(), Refused> {
        match body {
            SetExpr::Select(select) => self.down(|walk| walk.select(select)),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, op: _, set_quantifier, right } => {
                if !matches!(set_quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None) {
                    return Err(Refused::Construct { what: "a set operation BY NAME" });
                }
                self.down(|walk| {
                    walk.body(left)?;
                    walk.body(right)
                })
            }
            SetExpr::Values(values) => self.values(values),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Refused::Construct { what: "a write together with WITH" })
            }
            SetExpr::Table(_) => Err(Refused::Construct { what: "TABLE as a query (write SELECT * FROM)" }),
        }
    }

    fn values(&mut self, values: &Values) -> Result<(), Refused> {
        let Values { explicit_row, value_keyword, rows } = values;
        if *explicit_row || *value_keyword {
            return Err(Refused::Construct { what: "ROW in VALUES" });
        }
        rows.iter().try_for_each(|row| self.expressions(&row.content))
    }

    fn select(&mut self, select: &Select) -> Result<(), Refused> {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        self.allowed.allows(StatementKind::Select)?;
        none(into.as_ref(), "SELECT INTO")?;
        empty(optimizer_hints, "a hint")?;
        none(select_modifiers.as_ref(), "a modifier of SELECT")?;
        none(top.as_ref(), "TOP (write LIMIT)")?;
        none(exclude.as_ref(), "EXCLUDE")?;
        empty(lateral_views, "LATERAL VIEW")?;
        none(prewhere.as_ref(), "PREWHERE")?;
        empty(connect_by, "CONNECT BY")?;
        empty(cluster_by, "CLUSTER BY")?;
        empty(distribute_by, "DISTRIBUTE BY")?;
        empty(sort_by, "SORT BY")?;
        none(qualify.as_ref(), "QUALIFY")?;
        none(value_table_mode.as_ref(), "SELECT AS")?;
        if *flavor != SelectFlavor::Standard {
            return Err(Refused::Construct { what: "FROM before SELECT" });
        }
        if let Some(Distinct::On(by)) = distinct {
            self.expressions(by)?;
        }
        self.select_items(projection)?;
        from.iter().try_for_each(|item| self.item_of_from(item))?;
        self.maybe(selection.as_ref())?;
        self.group_by(group_by)?;
        self.maybe(having.as_ref())?;
        named_window.iter().try_for_each(|window| self.named_window(window))
    }

    pub(super) fn select_items(&mut self, items: &[SelectItem]) -> Result<(), Refused> {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expression) => self.expression(expression)?,
                SelectItem::ExprWithAlias { expr, alias } => {
                    is_name(alias)?;
                    self.expression(expr)?;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    Self::names(name)?;
                    wildcard(options)?;
                }
                SelectItem::Wildcard(options) => wildcard(options)?,
                SelectItem::ExprWithAliases { .. }
                | SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => {
                    return Err(Refused::Construct { what: "an uncommon item of the SELECT list" });
                }
            }
        }
        Ok(())
    }

    fn group_by(&mut self, group_by: &GroupByExpr) -> Result<(), Refused> {
        match group_by {
            GroupByExpr::Expressions(expressions, modifiers) => {
                empty(modifiers, "WITH after GROUP BY")?;
                self.expressions(expressions)
            }
            GroupByExpr::All(_) => Err(Refused::Construct { what: "GROUP BY ALL" }),
        }
    }

    fn named_window(&mut self, window: &NamedWindowDefinition) -> Result<(), Refused> {
        let NamedWindowDefinition(name, definition) = window;
        is_name(name)?;
        match definition {
            NamedWindowExpr::NamedWindow(other) => is_name(other),
            NamedWindowExpr::WindowSpec(spec) => self.window(spec),
        }
    }

    fn order_by(&mut self, order_by: &OrderBy) -> Result<(), Refused> {
        let OrderBy { kind, interpolate } = order_by;
        none(interpolate.as_ref(), "INTERPOLATE")?;
        match kind {
            OrderByKind::Expressions(expressions) => self.order_by_list(expressions),
            OrderByKind::All(_) => Err(Refused::Construct { what: "ORDER BY ALL" }),
        }
    }

    pub(super) fn order_by_list(&mut self, list: &[OrderByExpr]) -> Result<(), Refused> {
        for OrderByExpr { expr, options: OrderByOptions { sort, nulls_first: _ }, with_fill } in list {
            none(with_fill.as_ref(), "WITH FILL")?;
            match sort {
                None | Some(OrderBySort::Asc | OrderBySort::Desc) => self.expression(expr)?,
                // It names an operator, which is a function.
                Some(OrderBySort::Using(_)) => return Err(Refused::Construct { what: "ORDER BY .. USING" }),
            }
        }
        Ok(())
    }

    fn limit(&mut self, limit: &LimitClause) -> Result<(), Refused> {
        match limit {
            LimitClause::LimitOffset { limit, offset, limit_by } => {
                empty(limit_by, "LIMIT BY")?;
                self.maybe(limit.as_ref())?;
                match offset {
                    None => Ok(()),
                    Some(Offset { value, rows: _ }) => self.expression(value),
                }
            }
            LimitClause::OffsetCommaLimit { offset, limit } => {
                self.expression(offset)?;
                self.expression(limit)
            }
        }
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<(), Refused> {
        let Fetch { with_ties: _, percent, quantity } = fetch;
        if *percent {
            return Err(Refused::Construct { what: "FETCH .. PERCENT" });
        }
        self.maybe(quantity.as_ref())
    }
}

const OPTION: &str = "an option of `*`";

/// `*` and nothing more: some dialects let it take columns away, or compute others.
pub(super) fn wildcard(options: &WildcardAdditionalOptions) -> Result<(), Refused> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    none(opt_ilike.as_ref(), OPTION)?;
    none(opt_exclude.as_ref(), OPTION)?;
    none(opt_except.as_ref(), OPTION)?;
    none(opt_replace.as_ref(), OPTION)?;
    none(opt_rename.as_ref(), OPTION)?;
    none::<Ident>(opt_alias.as_ref(), OPTION)
}
