# Runs one Python step: reads parameters.json, calls the function or runs the script, writes returns.json.
import asyncio, importlib, inspect, json, os, sys

# The gate: without the line of an executor that has written down who we are, nothing begins.
if not os.read(0, 1):
    sys.exit(1)
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.close(nothing)

settings, command = json.loads(sys.argv[1]), sys.argv[2]
sys.argv = ["<step>"]
sys.path[:0] = [os.getcwd(), *settings["folders"]]
declared = settings["returns"]

with open(os.environ["HAVERSACK_PARAMETERS"], encoding="utf-8") as file:
    given = json.load(file)


def settled(value):
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def call():
    module, _, name = command.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    wanted = inspect.signature(function).parameters.values()
    everything = any(one.kind is one.VAR_KEYWORD for one in wanted)
    names = given if everything else [one.name for one in wanted if one.name in given]
    result = settled(function(**{name: given[name] for name in names}))
    if len(declared) < 2:
        return dict.fromkeys(declared, result)
    values = tuple(result)
    if len(values) != len(declared):
        sys.exit(f"{command} gave back {len(values)} values, the step declares {len(declared)}")
    return dict(zip(declared, values))


def script():
    scope = {"__name__": "__main__", "parameters": given, "returns": {}}
    exec(compile(command, "<step>", "exec"), scope)
    return scope["returns"]


def reduce():
    function = eval(command)
    return {name: function(*values) for name, values in given["values"].items()}


returned = {"function": call, "script": script, "reduce": reduce}[settings["kind"]]()
with open(os.environ["HAVERSACK_RETURNS"], "w", encoding="utf-8") as file:
    json.dump(returned, file, allow_nan=False)
