//! Expressions. What is not listed is refused.

use sqlparser::ast::{
    AccessExpr, Array, CaseWhen, CastKind, CeilFloorKind, Expr, Interval, Subscript, TypedString, Value, ValueWithSpan,
};

use super::super::name::is_name;
use super::super::{Dialect, Refused, types};
use super::{Walk, none};

impl Walk<'_> {
    pub(super) fn expressions(&mut self, list: &[Expr]) -> Result<(), Refused> {
        list.iter().try_for_each(|expression| self.expression(expression))
    }

    pub(super) fn maybe(&mut self, expression: Option<&Expr>) -> Result<(), Refused> {
        expression.map_or(Ok(()), |expression| self.expression(expression))
    }

    /// An expression, wherever it stands.
    ///
    /// A long chain, as in `a AND b AND c`, leans to the left; it is followed in a loop.
    pub(super) fn expression(&mut self, expression: &Expr) -> Result<(), Refused> {
        let mut rest = expression;
        while let Expr::BinaryOp { left, op, right } = rest {
            types::binary(op)?;
            self.down(|walk| walk.expression(right))?;
            rest = left;
        }
        self.down(|walk| walk.leaf(rest))
    }

    /// One that is no operation on others, or on one.
    fn leaf(&mut self, expression: &Expr) -> Result<(), Refused> {
        match expression {
            Expr::Identifier(name) => is_name(name),
            Expr::CompoundIdentifier(names) => names.iter().try_for_each(is_name),
            Expr::Value(value) => self.value(value),
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax }) => {
                if *uses_odbc_syntax {
                    return Err(Refused::Construct { what: "{d ..}" });
                }
                types::data_type(data_type)?;
                self.value(value)
            }
            Expr::Nested(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => self.expression(inner),
            Expr::UnaryOp { op, expr } => {
                types::unary(*op)?;
                self.expression(expr)
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format } => {
                none(format.as_ref(), "FORMAT in CAST")?;
                types::data_type(data_type)?;
                self.expression(expr)
            }
            Expr::Function(call) => self.call(call),
            Expr::Exists { subquery, negated: _ } | Expr::Subquery(subquery) => self.query(subquery),
            Expr::Tuple(list) | Expr::Array(Array { elem: list, named: true }) => self.expressions(list),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter().try_for_each(|set| self.expressions(set))
            }
            Expr::Interval(interval) => self.interval(interval),
            _ => self.comparison(expression),
        }
    }

    fn comparison(&mut self, expression: &Expr) -> Result<(), Refused> {
        match expression {
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => self.all([left, right]),
            Expr::InList { expr, list, negated: _ } => {
                self.expression(expr)?;
                self.expressions(list)
            }
            Expr::InSubquery { expr, subquery, negated: _ } => {
                self.expression(expr)?;
                self.query(subquery)
            }
            Expr::Between { expr, negated: _, low, high } => self.all([expr, low, high]),
            Expr::Like { negated: _, any: false, expr, pattern, escape_char }
            | Expr::ILike { negated: _, any: false, expr, pattern, escape_char }
            | Expr::SimilarTo { negated: _, expr, pattern, escape_char } => {
                self.all([expr, pattern])?;
                self.maybe(escape_char.as_deref())
            }
            Expr::AnyOp { left, compare_op, right, is_some: _ } | Expr::AllOp { left, compare_op, right } => {
                types::binary(compare_op)?;
                self.all([left, right])
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.maybe(operand.as_deref())?;
                for CaseWhen { condition, result } in conditions {
                    self.expression(condition)?;
                    self.expression(result)?;
                }
                self.maybe(else_result.as_deref())
            }
            _ => self.syntax_of_its_own(expression),
        }
    }

    /// Functions that the grammar knows, and what follows a value.
    fn syntax_of_its_own(&mut self, expression: &Expr) -> Result<(), Refused> {
        match expression {
            Expr::AtTimeZone { timestamp, time_zone } => self.all([timestamp, time_zone]),
            Expr::Extract { field: _, syntax: _, expr } => self.expression(expr),
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                if let CeilFloorKind::Scale(scale) = field {
                    self.value(scale)?;
                }
                self.expression(expr)
            }
            Expr::Position { expr, r#in } => self.all([expr, r#in]),
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.expression(expr)?;
                self.maybe(substring_from.as_deref())?;
                self.maybe(substring_for.as_deref())
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.expression(expr)?;
                self.maybe(trim_what.as_deref())?;
                self.expressions(trim_characters.as_deref().unwrap_or_default())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.all([expr, overlay_what, overlay_from])?;
                self.maybe(overlay_for.as_deref())
            }
            Expr::Collate { expr, collation } => {
                Self::names(collation)?;
                self.expression(expr)
            }
            // `(row).field` is left out: PostgreSQL takes it for `field(row)` too (documentation, 8.16.5).
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expression(root)?;
                access_chain.iter().try_for_each(|access| match access {
                    AccessExpr::Subscript(subscript) => self.subscript(subscript),
                    AccessExpr::Dot(_) => Err(Refused::Construct { what: "a field of a row" }),
                })
            }
            _ => Err(Refused::Construct { what: "an uncommon expression" }),
        }
    }

    fn all<const N: usize>(&mut self, expressions: [&Expr; N]) -> Result<(), Refused> {
        expressions.into_iter().try_for_each(|expression| self.expression(expression))
    }

    fn subscript(&mut self, subscript: &Subscript) -> Result<(), Refused> {
        match subscript {
            Subscript::Index { index } => self.expression(index),
            Subscript::Slice { lower_bound, upper_bound, stride } => {
                none(stride.as_ref(), "a stride")?;
                self.maybe(lower_bound.as_ref())?;
                self.maybe(upper_bound.as_ref())
            }
        }
    }

    fn interval(&mut self, interval: &Interval) -> Result<(), Refused> {
        let Interval { value, leading_field: _, leading_precision: _, last_field: _, fractional_seconds_precision: _ } =
            interval;
        self.expression(value)
    }

    fn value(&self, value: &ValueWithSpan) -> Result<(), Refused> {
        let ValueWithSpan { value, span: _ } = value;
        match (value, self.dialect()) {
            (Value::Number(_, false) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null, _)
            | (Value::Placeholder(_), Dialect::Sqlite) => Ok(()),
            (Value::Placeholder(name), Dialect::PostgreSql) if name.starts_with('$') => Ok(()),
            _ => Err(Refused::Literal),
        }
    }
}
