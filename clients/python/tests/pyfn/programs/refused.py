"""What must be refused before anything is sent. See `test_programs.py`."""

# ruff: noqa: SIM115

import collections
import contextvars
import functools
import hashlib
import io
import os
import re
import socket
import sys
import threading
import types
import weakref
from typing import Any

FILE = open(os.devnull)
TEXT_FILE = io.StringIO("x")
LOCK = threading.Lock()
EVENTS = {"e": [threading.Event()]}
GENERATOR = (x for x in "abc")
SOCKET = socket.socket()
VIEW = memoryview(b"abc")
THIS = sys.modules[__name__]
ALSO_THIS = [THIS]
KEYS = {"a": 1}.keys()
MATCH = re.match("a", "a")
HASH = hashlib.sha256(b"a")
CONTEXT = contextvars.ContextVar("CONTEXT", default=1)
LOCAL = threading.local()
THREAD = threading.Thread(target=print)
FRAME = sys._getframe()
OUT = sys.stdout


class Held:
    def __init__(self, held=None):
        self.held = held

    def method(self):
        return self.held


HELD = Held()
WEAK = weakref.ref(HELD)
WEAK_TABLE = weakref.WeakValueDictionary(a=HELD)
HELD_LOCK = Held(threading.RLock())
BOUND = HELD_LOCK.method
FACTORY = collections.defaultdict(lambda: 0)
CONDITION = functools.partial(callable, threading.Condition())


def _coroutine():
    async def f():
        return 1

    made = f()
    made.close()
    return made


COROUTINE = _coroutine()
REFUSED = {}


def p_an_open_file() -> Any:
    return FILE.read()


REFUSED["p_an_open_file"] = "an open file"


def p_a_file_in_memory() -> Any:
    return TEXT_FILE.getvalue()


REFUSED["p_a_file_in_memory"] = "an open file"


def p_the_standard_output_under_another_name() -> Any:
    return OUT.writable()


REFUSED["p_the_standard_output_under_another_name"] = "an open file"


def p_a_lock() -> Any:
    with LOCK:
        return 1


REFUSED["p_a_lock"] = "one process only"


def p_an_event_in_containers() -> Any:
    return EVENTS["e"][0].is_set()


REFUSED["p_an_event_in_containers"] = "a Event is valid in one process only"


def p_a_lock_in_an_object() -> Any:
    return HELD_LOCK.held is None


REFUSED["p_a_lock_in_an_object"] = "global variable `HELD_LOCK`"


def p_a_method_of_an_object_with_a_lock() -> Any:
    return BOUND() is None


REFUSED["p_a_method_of_an_object_with_a_lock"] = "global variable `BOUND`"


def p_a_condition_in_a_partial_function() -> Any:
    return CONDITION()


REFUSED["p_a_condition_in_a_partial_function"] = "one process only"


def _with_default(x=threading.Semaphore()):  # noqa: B008
    return x


def p_a_semaphore_as_default_value() -> Any:
    return _with_default()


REFUSED["p_a_semaphore_as_default_value"] = "function _with_default: its default values"


def _with_named_default(*, x=[threading.Barrier(1)]):  # noqa: B006, B008
    return x


def p_a_barrier_as_default_value_by_name() -> Any:
    return _with_named_default()


REFUSED["p_a_barrier_as_default_value_by_name"] = "the default value of `x`"


def _with_attribute():
    return _with_attribute.lock


_with_attribute.lock = threading.Lock()


def p_a_lock_as_attribute_of_a_function() -> Any:
    return _with_attribute()


REFUSED["p_a_lock_as_attribute_of_a_function"] = "its attribute `lock`"


def _closure():
    file = open(os.devnull)
    return lambda: file.read()


CLOSURE = _closure()


def p_a_file_as_variable_of_a_closure() -> Any:
    return CLOSURE()


REFUSED["p_a_file_as_variable_of_a_closure"] = "its variable `file`"


class WithLock:
    lock = threading.Lock()


def p_a_lock_as_attribute_of_a_class() -> Any:
    return WithLock.lock


REFUSED["p_a_lock_as_attribute_of_a_class"] = "class WithLock: its"


def p_a_suspended_generator() -> Any:
    return list(GENERATOR)


REFUSED["p_a_suspended_generator"] = "a generator cannot be sent while it is suspended"


def p_a_coroutine() -> Any:
    return COROUTINE.cr_running


REFUSED["p_a_coroutine"] = "a coroutine cannot be sent while it is suspended"


def p_a_socket() -> Any:
    return SOCKET.fileno()


REFUSED["p_a_socket"] = "a socket cannot be sent"


def p_a_memory_view() -> Any:
    return VIEW[0]


REFUSED["p_a_memory_view"] = "memoryview cannot be sent"


def p_a_weak_reference() -> Any:
    return WEAK() is HELD


REFUSED["p_a_weak_reference"] = "cannot be sent"


def p_a_weak_table() -> Any:
    return WEAK_TABLE["a"] is HELD


REFUSED["p_a_weak_table"] = "cannot be sent"


def p_the_own_module_as_a_whole() -> Any:
    return vars(THIS)["HELD"]


REFUSED["p_the_own_module_as_a_whole"] = "your own module, and it is used as a whole"


def p_the_own_module_in_a_list() -> Any:
    return ALSO_THIS[0].HELD


REFUSED["p_the_own_module_in_a_list"] = "your own module, and it is used as a whole"


def p_the_own_module_with_a_name_from_text() -> Any:
    return getattr(THIS, "HELD")  # noqa: B009


REFUSED["p_the_own_module_with_a_name_from_text"] = "your own module, and it is used as a whole"


def p_the_keys_of_a_dict() -> Any:
    return list(KEYS)


REFUSED["p_the_keys_of_a_dict"] = "dict_keys cannot be sent"


def p_a_match() -> Any:
    return MATCH[0]


REFUSED["p_a_match"] = "re.Match cannot be sent"


def p_a_running_hash() -> Any:
    return HASH.hexdigest()


REFUSED["p_a_running_hash"] = "its global variable `HASH`"


def p_a_context_variable() -> Any:
    return CONTEXT.get()


REFUSED["p_a_context_variable"] = "ContextVar cannot be sent"


def p_values_of_a_thread() -> Any:
    return vars(LOCAL)


REFUSED["p_values_of_a_thread"] = "one process only"


def p_a_thread() -> Any:
    return THREAD.name


REFUSED["p_a_thread"] = "one process only"


def p_a_frame() -> Any:
    return FRAME.f_lineno


REFUSED["p_a_frame"] = "a frame cannot be sent"


def p_a_defaultdict_with_a_function() -> Any:
    return FACTORY["x"]


_space = {}
exec("def made(x):\n    return x\n", _space)  # noqa: S102
MADE = _space["made"]
EVALUATED = eval("lambda x: x")  # noqa: S307


def p_a_function_made_by_exec() -> Any:
    return MADE(1)


REFUSED["p_a_function_made_by_exec"] = "the source of made is not available"


def p_a_lambda_made_by_eval() -> Any:
    return EVALUATED(1)


REFUSED["p_a_lambda_made_by_eval"] = "the source of <lambda> is not available"

NESTED = [[]]
for _ in range(300):
    NESTED = [NESTED]


def p_a_value_nested_too_deeply() -> Any:
    return len(NESTED)


REFUSED["p_a_value_nested_too_deeply"] = "nested deeper than"

CODE = (lambda: 1).__code__
CELL = types.CellType(1)


def p_a_code_object() -> Any:
    return CODE.co_name


REFUSED["p_a_code_object"] = "code cannot be sent"


def p_a_cell() -> Any:
    return CELL.cell_contents


REFUSED["p_a_cell"] = "cell cannot be sent"


def _wrapped(f):
    lock = threading.Lock()

    @functools.wraps(f)
    def wrapper(*args):
        with lock:
            return f(*args)

    return wrapper


@_wrapped
def locked(x):
    return x


def p_a_decorator_with_a_lock() -> Any:
    return locked(1)


REFUSED["p_a_decorator_with_a_lock"] = "function locked: its variable `lock`"


class Wrapped:
    def __init__(self, function, file):
        self.function, self.file = function, file

    def __call__(self):
        return self.function()


CALLABLE = Wrapped(lambda: 1, FILE)


def p_an_object_with_an_open_file() -> Any:
    return CALLABLE()


REFUSED["p_an_object_with_an_open_file"] = "an open file"


class Text(str):
    pass


class Number(int):
    pass


TEXT = Text("x")
NUMBERS = [Number(1)]


def p_an_object_of_an_own_class_of_text() -> Any:
    return TEXT.upper()


REFUSED["p_an_object_of_an_own_class_of_text"] = "Text cannot be sent"


def p_an_object_of_an_own_class_of_numbers() -> Any:
    return NUMBERS[0] + 1


REFUSED["p_an_object_of_an_own_class_of_numbers"] = "Number cannot be sent"


def p_an_import_of_the_own_module() -> Any:
    import beside_refused

    return beside_refused.x


sys.modules["beside_refused"] = types.ModuleType("beside_refused")
REFUSED["p_an_import_of_the_own_module"] = "which is your own module"
