"""From sums to estimates: each cell borrows from its task, a task from the tenant, the tenant from the prior.

Parents are leave-one-out: a cell borrows from what its siblings saw, never twice from itself. What an arm borrows is
moved by the cell's difficulty, that is by how far the OTHER arms there fell from what their own parents said, so that
an arm hardly tried in a hard cell is not taken for better than the ones whose failures are known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from policy_engine.estimate import MILLI, Belief, Estimate, Evidence, estimated, evidence_of, updated
from policy_engine.statistics import Sums, merge_sums
from policy_lang.frozen import frozen
from policy_lang.ir import PPM

__all__ = ["STRANGER", "Leaf", "Levels", "shrunk"]

#: (cluster, task, arm)
Leaf = tuple[str, str, str]
#: Stands for every arm that nobody has tried: what the others did on average, one vote an arm.
STRANGER = "*"

# Pseudo-outcomes that a parent may lend (measured, see docs/learning.md).
TASK_WEIGHT_MILLI = 20 * MILLI
TENANT_WEIGHT_MILLI = 10 * MILLI
PRIOR_WEIGHT_MILLI = 4 * MILLI
# Pseudo-outcomes against which a difficulty must be shown.
TASK_DIFFICULTY_MILLI = 60 * MILLI
CELL_DIFFICULTY_MILLI = 60 * MILLI

_NOTHING = Evidence()


@frozen
class Levels:
    """Estimates by cluster, by task (what an unseen cell is given) and overall (an unseen task)."""

    cells: dict[str, dict[str, Estimate]]
    tasks: dict[str, dict[str, Estimate]]
    overall: dict[str, Estimate]


def shrunk(leaves: Mapping[Leaf, Sums], priors: Mapping[str, Belief], stranger: Belief, now_weight: int) -> Levels:
    """Every estimate the leaves support. `priors` by arm; arms without one start from `stranger`."""
    tree = _Tree(leaves, priors, stranger, now_weight)
    overall = {arm: tree.overall(arm) for arm in tree.arms}
    overall[STRANGER] = tree.mean_of(overall)
    tasks = {task: tree.task(task, overall[STRANGER]) for task in sorted(tree.clusters)}
    cells = {c: tree.cell(c, task) for task in sorted(tree.clusters) for c in sorted(tree.clusters[task])}
    return Levels(cells, tasks, overall)


class _Tree:
    """Evidence at the three levels, and the walk down from prior to cell."""

    def __init__(
        self, leaves: Mapping[Leaf, Sums], priors: Mapping[str, Belief], stranger: Belief, now_weight: int
    ) -> None:
        self.leaves = leaves
        self.priors, self.stranger = priors, stranger
        self.cell_evidence = {leaf: evidence_of(sums, now_weight) for leaf, sums in leaves.items()}
        self.task_evidence: dict[tuple[str, str], Evidence] = defaultdict(Evidence)
        self.arm_evidence: dict[str, Evidence] = defaultdict(Evidence)
        self.clusters: dict[str, set[str]] = defaultdict(set)
        by_task, by_arm = defaultdict(list), defaultdict(list)
        for (cluster, task, arm), found in self.cell_evidence.items():
            by_task[task, arm].append(leaves[cluster, task, arm])
            by_arm[arm].append(leaves[cluster, task, arm])
            if found == _NOTHING and not leaves[cluster, task, arm].get("c"):
                continue  # faults of the provider alone say how long it took, not that anybody has tried the arm
            self.task_evidence[task, arm] += found
            self.arm_evidence[arm] += found
            self.clusters[task].add(cluster)
        self.arms = sorted({*self.arm_evidence, *priors})
        self.task_sums = {key: merge_sums(parts) for key, parts in by_task.items()}
        self.arm_sums = {arm: merge_sums(by_arm[arm]) for arm in self.arms}

    def overall(self, arm: str) -> Estimate:
        belief = updated(self.arm_evidence.get(arm, _NOTHING), self._prior(arm), PRIOR_WEIGHT_MILLI)
        return estimated(_lent(belief, TENANT_WEIGHT_MILLI), _NOTHING, {}, (self.arm_sums[arm],))

    def mean_of(self, estimates: Mapping[str, Estimate]) -> Estimate:
        """What an untried arm is given: the mean of the tried ones, worth the prior's weight."""
        tried = [found for arm, found in estimates.items() if arm in self.arm_evidence]
        belief = self.stranger
        if tried:
            success = sum(found.success_ppm for found in tried) // len(tried)
            quality = sum(found.quality_ppm for found in tried) // len(tried)
            belief = Belief(success, quality, PRIOR_WEIGHT_MILLI)
        return estimated(belief, _NOTHING, {})

    def task(self, task: str, stranger: Estimate) -> dict[str, Estimate]:
        found = {}
        for arm, parent in self._task_parents(task).items():
            belief = updated(self.task_evidence.get((task, arm), _NOTHING), parent, TENANT_WEIGHT_MILLI)
            sources = (self.task_sums.get((task, arm), {}), self.arm_sums[arm])
            found[arm] = estimated(_lent(belief, TASK_WEIGHT_MILLI), _NOTHING, {}, sources)
        found[STRANGER] = self.mean_of(found) if found else stranger
        return found

    def cell(self, cluster: str, task: str) -> dict[str, Estimate]:
        own, parents = {}, {}
        for arm, above in self._task_parents(task).items():
            if (task, arm) in self.task_evidence:
                own[arm] = self.cell_evidence.get((cluster, task, arm), _NOTHING)
                parents[arm] = updated(self.task_evidence[task, arm] - own[arm], above, TENANT_WEIGHT_MILLI)
        usual = merge_sums(self.leaves.get((cluster, task, arm), {}) for arm in own)
        found = {}
        for arm, parent in _moved(parents, own, CELL_DIFFICULTY_MILLI).items():
            sums = self.leaves.get((cluster, task, arm), {})
            belief = updated(own[arm], parent, TASK_WEIGHT_MILLI)
            sources = (sums, self.task_sums[task, arm], self.arm_sums[arm])
            found[arm] = estimated(belief, own[arm], sums, sources, sums if sums.get("tn") else usual)
        found[STRANGER] = estimated(self.stranger, _NOTHING, {}, sizes=usual)
        return found

    def _task_parents(self, task: str) -> dict[str, Belief]:
        """What the tenant's other tasks say of each arm, moved by this task's difficulty."""
        own = {arm: self.task_evidence.get((task, arm), _NOTHING) for arm in self.arms}
        parents = {
            arm: updated(self.arm_evidence.get(arm, _NOTHING) - own[arm], self._prior(arm), PRIOR_WEIGHT_MILLI)
            for arm in self.arms
        }
        return _moved(parents, own, TASK_DIFFICULTY_MILLI)

    def _prior(self, arm: str) -> Belief:
        return self.priors.get(arm, self.stranger)


def _moved(parents: Mapping[str, Belief], own: Mapping[str, Evidence], against_milli: int) -> dict[str, Belief]:
    """Each arm's parent, moved by the mean shortfall of the other arms' evidence from their parents."""
    missing = {arm: own[arm].s_milli - own[arm].n_milli * parents[arm].success_ppm // PPM for arm in parents}
    total = sum(missing.values())
    number = sum(own[arm].n_milli for arm in parents)
    return {
        arm: parent.moved((total - missing[arm]) * PPM // (number - own[arm].n_milli + against_milli))
        for arm, parent in parents.items()
    }


def _lent(belief: Belief, most_milli: int) -> Belief:
    return Belief(belief.success_ppm, belief.quality_ppm, min(most_milli, belief.weight_milli))
