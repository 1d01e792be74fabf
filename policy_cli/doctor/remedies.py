"""Finding -> the command that mends it, ready to paste, or the one that shows what there is to mend with."""

from __future__ import annotations

from datetime import UTC, datetime

from policy_cli.deployment import Deployment
from policy_engine.accounting import Finding
from policy_engine.books import decided_ms

__all__ = ["remedy"]


def remedy(deployment: Deployment, tenant: str, finding: Finding) -> str:
    """Both buckets keep every version, and the records bucket is locked against deletion: what was filed is still there
    under a delete marker or a later version. What was counted wrongly comes back from the tables' own backups.
    """
    stack = "" if deployment.stack == "pointsman" else f" --stack {deployment.stack}"
    match finding.code:
        case "dead_letters":
            return f"pointsman redrive {finding.subject}{stack}"
        case "poison":
            return f"pointsman redrive {finding.subject}{stack} --include-poison --dry-run"
        case "receipt_missing" | "receipt_unequal" | "receipt_twice":
            return _versions(deployment, f"{tenant}/receipts/{_hour(finding.subject)}")
        case "outcome_missing" | "outcome_twice" | "outcome_unreadable":
            return _versions(deployment, f"{tenant}/outcomes/")
        case "cell_differs" | "cost_differs":
            table = deployment.name("StatisticsTable")
            return (
                f"aws dynamodb restore-table-to-point-in-time --source-table-name {table} "
                f"--target-table-name {table}-restored --use-latest-restorable-time"
            )
    return f"pointsman doctor{stack} --tenant {tenant} --markers --format json"


def _versions(deployment: Deployment, prefix: str) -> str:
    return f"aws s3api list-object-versions --bucket {deployment.name('RecordsBucket')} --prefix {prefix}"


def _hour(decision_id: str) -> str:
    """The folder that the receipt of a decision belongs in; none for what is no id."""
    at_ms = decided_ms(decision_id)
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):dt=%Y-%m-%d/hh=%H/}" if at_ms else ""
