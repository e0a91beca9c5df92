"""Filter the rows of a table by a condition, which is data: it is parsed, never executed."""

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ecglib.errors import DatasetError, did_you_mean

MAX_LENGTH = 1000  # characters
MAX_LISTED = 20  # columns or values that a message names
ACCEPTED = (
    "Accepted are comparisons of columns with numbers or text (==, !=, <, <=, >, >=, in, not in), "
    "columns of True and False, and, or, not and parentheses, for example "
    "\"age >= 18 and site in ['A', 'B']\""
)
KINDS = {"number": "numbers", "text": "text", "truth": "True and False"}
OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def filter_table(table: pd.DataFrame, condition: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the rows that meet a condition.

    Parameters
    ----------
    table : DataFrame
        The label table.
    condition : str
        Comparisons of columns with numbers or text (``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``,
        ``in``, ``not in``), columns of True and False, ``and``, ``or``, ``not`` and parentheses,
        such as ``"validated_by_human and 18 <= age < 65"``. A missing value meets only ``!=`` and
        ``not in``. "" keeps all rows.

    Returns
    -------
    table : DataFrame
        The rows that meet the condition.
    excluded : dict of str to int
        The reason, and how many rows it excluded.

    Raises
    ------
    DatasetError
        If the condition holds anything else, names a column that the table lacks, compares numbers
        with text, or no row meets it.

    Examples
    --------
    >>> filter_table(pd.DataFrame({"age": [17, 42]}), "age >= 18")[1]
    {"rows that are not 'age >= 18'": 1}
    >>> filter_table(pd.DataFrame({"age": [17]}), "open('notes.txt')")
    Traceback (most recent call last):
    ...
    ecglib.errors.DatasetError: where="open('notes.txt')": a function call is not accepted. ...
    """
    if not condition.strip():
        return table, {}
    try:
        if len(condition) > MAX_LENGTH:
            raise _ConditionError(f"{len(condition)} characters, at most {MAX_LENGTH}.")
        expression = ast.parse(condition.strip(), mode="eval").body
        rows = _evaluate(expression, table)
    except _ConditionError as error:
        raise DatasetError(f"where={condition[:200]!r}: {error} {ACCEPTED}.") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        raise DatasetError(
            f"where={condition[:200]!r} cannot be parsed: {reason}. {ACCEPTED}."
        ) from None
    if len(table) and not rows.any():
        raise DatasetError(
            f"where={condition!r} keeps none of the {len(table)} rows. The table holds "
            f"{_describe_values(expression, table)}. Change the condition."
        )
    reason = f"rows that are not {condition!r}"
    return table[rows], {reason: int((~rows).sum())}


class _ConditionError(ValueError):
    """A part of a condition that is not accepted."""


class _Values(NamedTuple):
    """A column, or a constant, of one kind: "number", "text" or "truth"; missing is NaN or None."""

    kind: str
    values: Any
    text: str  # as the user wrote it


def _evaluate(node: ast.expr, table: pd.DataFrame) -> np.ndarray:
    """Evaluate a condition to one bool for each row."""
    if isinstance(node, ast.BoolOp):
        rows = [_evaluate(value, table) for value in node.values]
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return combine.reduce(rows)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_evaluate(node.operand, table)
    if isinstance(node, ast.Compare):
        return _compare(node, table)
    if isinstance(node, ast.Name):
        column = _get_column(node.id, table)
        if column.kind != "truth":
            raise _ConditionError(
                f"column {node.id!r} holds {KINDS[column.kind]}, not True and False: compare it "
                f"with a value."
            )
        return column.values
    raise _ConditionError(f"{_describe(node)} is not accepted.")


def _compare(node: ast.Compare, table: pd.DataFrame) -> np.ndarray:
    """Evaluate a comparison, or a chain of them such as ``18 <= age < 65``."""
    if not any(isinstance(part, ast.Name) for part in ast.walk(node)):
        raise _ConditionError(f"{ast.unparse(node)!r} names no column.")
    rows = np.ones(len(table), bool)
    left = node.left
    for comparison, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(comparison, ast.In | ast.NotIn):
            found = _is_in(_get_values(left, table), right, table)
            rows &= found if isinstance(comparison, ast.In) else ~found
        elif type(comparison) in OPERATORS:
            rows &= _compare_pair(
                OPERATORS[type(comparison)], _get_values(left, table), _get_values(right, table)
            )
        else:
            raise _ConditionError("'is' is not accepted.")
        left = right
    return rows


def _compare_pair(compare: Callable, left: _Values, right: _Values) -> np.ndarray:
    _check_kinds(left, right)
    if left.kind != "text":
        return np.asarray(compare(left.values, right.values))
    if compare in (operator.eq, operator.ne):
        known = pd.notna(left.values) & pd.notna(right.values)
        equal = np.asarray(left.values == right.values, bool) & known
        return equal if compare is operator.eq else ~equal
    pairs = np.broadcast(left.values, right.values)
    return np.array([a is not None and b is not None and compare(a, b) for a, b in pairs], bool)


def _is_in(left: _Values, node: ast.expr, table: pd.DataFrame) -> np.ndarray:
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        raise _ConditionError(f"'in' needs a list, such as ['A', 'B'], not {ast.unparse(node)!r}.")
    rows = np.zeros(len(table), bool)
    for element in node.elts:
        rows |= _compare_pair(operator.eq, left, _get_values(element, table))
    return rows


def _check_kinds(left: _Values, right: _Values) -> None:
    if left.kind != right.kind:
        raise _ConditionError(
            f"{left.text} ({KINDS[left.kind]}) and {right.text} ({KINDS[right.kind]}) cannot be "
            f"compared."
        )


def _get_values(node: ast.expr, table: pd.DataFrame) -> _Values:
    """Get a column or a constant."""
    if isinstance(node, ast.Name):
        return _get_column(node.id, table)
    sign = 1
    constant: ast.expr = node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign, constant = (-1 if isinstance(node.op, ast.USub) else 1), node.operand
    if isinstance(constant, ast.Constant):
        value = constant.value
        if isinstance(value, bool) and constant is node:
            return _Values("truth", np.bool_(value), repr(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _Values("number", _convert_to_float(sign * value), ast.unparse(node))
        if isinstance(value, str) and constant is node:
            return _Values("text", np.array(value, object), repr(value))
    raise _ConditionError(f"{_describe(node)} is not accepted.")


def _convert_to_float(number: float) -> np.float64:
    try:
        return np.float64(number)
    except OverflowError:
        raise _ConditionError(f"a number of {len(str(number))} digits is not accepted.") from None


def _get_column(name: str, table: pd.DataFrame) -> _Values:
    if name not in table.columns:
        columns = [str(column) for column in table.columns]
        raise _ConditionError(
            f"there is no column {name!r} among {columns[:MAX_LISTED]}."
            + did_you_mean(name, columns)
        )
    return _convert_column(table[name], repr(name))


def _convert_column(column: pd.Series, text: str) -> _Values:
    known = column.dropna()
    if len(known) and known.map(lambda value: isinstance(value, bool | np.bool_)).all():
        return _Values("truth", column.eq(True).to_numpy(bool, na_value=False), text)
    if pd.api.types.is_numeric_dtype(column):
        return _Values("number", column.to_numpy(np.float64, na_value=np.nan), text)
    if known.map(lambda value: isinstance(value, list | tuple | dict | np.ndarray)).any():
        raise _ConditionError(f"column {text} holds lists, which cannot be compared.")
    values = np.full(len(column), None, object)
    values[column.notna().to_numpy()] = known.map(str).to_numpy(object)
    return _Values("text", values, text)


def _describe(node: ast.expr) -> str:
    """Describe a part that is not accepted in the user's words."""
    kinds = {ast.Call: "a function call", ast.Attribute: "an attribute", ast.Subscript: "an index"}
    if kind := kinds.get(type(node)):
        return kind
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        return "'&' or '|' (in place of 'and' and 'or')"
    return repr(ast.unparse(node)[:60])


def _describe_values(expression: ast.expr, table: pd.DataFrame) -> str:
    """Describe the values of the columns that a condition names."""
    names: Sequence[str] = [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]
    described = []
    for name in dict.fromkeys(names):
        column = _get_column(name, table)
        if column.kind == "number":
            known = column.values[~np.isnan(column.values)]
            span = f"{known.min():g} to {known.max():g}" if len(known) else "nothing"
        else:
            values = dict.fromkeys(v for v in column.values.tolist() if v is not None)
            span = ", ".join(repr(value) for value in list(values)[:MAX_LISTED]) or "nothing"
        described.append(f"{name}: {span}")
    return "; ".join(described)
