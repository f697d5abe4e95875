//! Calls: the function, its arguments, and over which rows. Only listed functions, for any other may do anything.

use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, ObjectName, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::super::name::{folded, is_name};
use super::super::{Refused, functions};
use super::{Walk, none};

impl Walk<'_> {
    pub(super) fn call(&mut self, call: &Function) -> Result<(), Refused> {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } = call;
        if *uses_odbc_syntax {
            return Err(Refused::Construct { what: "{fn ..}" });
        }
        if *parameters != FunctionArguments::None {
            return Err(Refused::Construct { what: "a second list of arguments" });
        }
        none(null_treatment.as_ref(), "IGNORE NULLS")?;
        match args {
            FunctionArguments::Subquery(query) if is_array(name) => self.query(query)?,
            FunctionArguments::Subquery(_) => return Err(Refused::Construct { what: "a query as the only argument" }),
            FunctionArguments::None => self.function_name(name)?,
            FunctionArguments::List(list) => {
                self.function_name(name)?;
                self.argument_list(list)?;
            }
        }
        self.order_by_list(within_group)?;
        self.maybe(filter.as_deref())?;
        match over {
            None => Ok(()),
            Some(WindowType::NamedWindow(name)) => is_name(name),
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
        }
    }

    /// A function without schema: one of the built-in list, or one that the policy lists.
    pub(super) fn function_name(&self, name: &ObjectName) -> Result<(), Refused> {
        let words = folded(self.dialect(), name)?;
        match words.as_slice() {
            [word] if functions::is_pure(self.dialect(), word) => Ok(()),
            words if self.allowed.functions.contains(words) => Ok(()),
            words => Err(Refused::Function { name: words.join(".") }),
        }
    }

    fn argument_list(&mut self, list: &FunctionArgumentList) -> Result<(), Refused> {
        let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        match duplicate_treatment {
            None | Some(DuplicateTreatment::Distinct | DuplicateTreatment::All) => {}
        }
        self.arguments(args)?;
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(list) => self.order_by_list(list)?,
                _ => return Err(Refused::Construct { what: "an uncommon clause within arguments" }),
            }
        }
        Ok(())
    }

    pub(super) fn arguments(&mut self, args: &[FunctionArg]) -> Result<(), Refused> {
        args.iter().try_for_each(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => self.expression(expression),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(()),
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => Self::names(name),
            FunctionArg::Unnamed(_) | FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => {
                Err(Refused::Construct { what: "an argument by name" })
            }
        })
    }

    pub(super) fn window(&mut self, spec: &WindowSpec) -> Result<(), Refused> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        window_name.as_ref().map_or(Ok(()), is_name)?;
        self.expressions(partition_by)?;
        self.order_by_list(order_by)?;
        match window_frame {
            None => Ok(()),
            Some(WindowFrame { units: _, start_bound, end_bound }) => {
                self.bound(start_bound)?;
                end_bound.as_ref().map_or(Ok(()), |bound| self.bound(bound))
            }
        }
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Result<(), Refused> {
        match bound {
            WindowFrameBound::CurrentRow => Ok(()),
            WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance) => {
                self.maybe(distance.as_deref())
            }
        }
    }
}

/// `ARRAY(SELECT ..)`, which is a construct of the grammar: no function can have this name unquoted.
fn is_array(name: &ObjectName) -> bool {
    let word = name.0.first().and_then(|part| part.as_ident());
    name.0.len() == 1 && word.is_some_and(|word| word.quote_style.is_none() && word.value.eq_ignore_ascii_case("array"))
}
