//! Types that a value may be cast to, and operators. A cast may run code: `'orders'::regclass` reads the catalogue,
//! and a type of the database's own has its own input function (PostgreSQL documentation, 8.19 and CREATE TYPE).

use sqlparser::ast::{ArrayElemTypeDef, BinaryOperator, DataType, ObjectNamePart, UnaryOperator};

use super::Refused;

/// Plain types by names that the grammar does not know.
const PLAIN: &[&str] = &["timestamptz", "timetz", "money", "inet", "cidr"];

pub(super) fn data_type(found: &DataType) -> Result<(), Refused> {
    match found {
        DataType::Character(_)
        | DataType::Char(_)
        | DataType::CharacterVarying(_)
        | DataType::CharVarying(_)
        | DataType::Varchar(_)
        | DataType::Text
        | DataType::Uuid
        | DataType::Bytea
        | DataType::Blob(_)
        | DataType::Numeric(_)
        | DataType::Decimal(_)
        | DataType::Dec(_)
        | DataType::Float(_)
        | DataType::Float4
        | DataType::Float8
        | DataType::Real
        | DataType::Double(_)
        | DataType::DoublePrecision
        | DataType::Int2(_)
        | DataType::Int4(_)
        | DataType::Int8(_)
        | DataType::SmallInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_)
        | DataType::Bool
        | DataType::Boolean
        | DataType::Date
        | DataType::Time(..)
        | DataType::Timestamp(..)
        | DataType::Interval { .. }
        | DataType::JSON
        | DataType::JSONB => Ok(()),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => data_type(element),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => match name.0.as_slice() {
            [ObjectNamePart::Identifier(word)]
                if word.quote_style.is_none() && PLAIN.contains(&word.value.to_ascii_lowercase().as_str()) =>
            {
                Ok(())
            }
            _ => Err(Refused::Type),
        },
        _ => Err(Refused::Type),
    }
}

/// Those of numbers, text, dates, arrays and JSON. `MATCH` and `REGEXP` call what an application registers.
pub(super) fn binary(operator: &BinaryOperator) -> Result<(), Refused> {
    match operator {
        BinaryOperator::Plus
        | BinaryOperator::Minus
        | BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo
        | BinaryOperator::StringConcat
        | BinaryOperator::Gt
        | BinaryOperator::Lt
        | BinaryOperator::GtEq
        | BinaryOperator::LtEq
        | BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::And
        | BinaryOperator::Or
        | BinaryOperator::BitwiseOr
        | BinaryOperator::BitwiseAnd
        | BinaryOperator::Glob
        | BinaryOperator::PGBitwiseShiftLeft
        | BinaryOperator::PGBitwiseShiftRight
        | BinaryOperator::PGExp
        | BinaryOperator::PGOverlap
        | BinaryOperator::PGRegexMatch
        | BinaryOperator::PGRegexIMatch
        | BinaryOperator::PGRegexNotMatch
        | BinaryOperator::PGRegexNotIMatch
        | BinaryOperator::Arrow
        | BinaryOperator::LongArrow
        | BinaryOperator::HashArrow
        | BinaryOperator::HashLongArrow
        | BinaryOperator::AtAt
        | BinaryOperator::AtArrow
        | BinaryOperator::ArrowAt
        | BinaryOperator::Question
        | BinaryOperator::QuestionAnd
        | BinaryOperator::QuestionPipe
        | BinaryOperator::Overlaps => Ok(()),
        _ => Err(Refused::Operator),
    }
}

pub(super) fn unary(operator: UnaryOperator) -> Result<(), Refused> {
    match operator {
        UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not | UnaryOperator::BitwiseNot => Ok(()),
        _ => Err(Refused::Operator),
    }
}
