"""For tests of bots: the real orchestrator without a chain, fixtures, and checks of whole runs."""

# Not lazily: once loaded, the module of this name would stand where the function is expected.
from toolkit.testing.decide import decide as decide
from toolkit.testing.fuzz import fuzz as fuzz
from toolkit.testing.many import run_many as run_many
from toolkit.testing.orchestra import AgentWorld as AgentWorld
from toolkit.testing.orchestra import Faults as Faults
from toolkit.testing.orchestra import agent_world as agent_world
