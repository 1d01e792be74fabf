import pytest
from botocore.session import Session
from moto import mock_aws

from policy_cli.dev.template import REGION
from policy_cli.dev.transactions import itemwise_transactions

WRITES = {
    "put": lambda key: {"Put": {"Item": {"pk": {"S": key}, "sk": {"S": "-"}, "n": {"N": "7"}}}},
    "put new": lambda key: {
        "Put": {"Item": {"pk": {"S": key}, "sk": {"S": "-"}}, "ConditionExpression": "attribute_not_exists(pk)"}
    },
    "add": lambda key: {
        "Update": {
            "Key": {"pk": {"S": key}, "sk": {"S": "-"}},
            "UpdateExpression": "ADD n :n",
            "ExpressionAttributeValues": {":n": {"N": "1"}},
        }
    },
    "delete": lambda key: {"Delete": {"Key": {"pk": {"S": key}, "sk": {"S": "-"}}}},
}


@pytest.mark.parametrize(
    "writes",
    [
        [("put", "a"), ("add", "b"), ("add", "new")],
        [("add", "a"), ("put new", "b")],
        [("add", "a"), ("add", "new"), ("delete", "b"), ("put new", "b"), ("put new", "c")],
        [("delete", "a"), ("put", "other"), ("put new", "b")],
        [("put", "a"), ("put", "a")],
    ],
    ids=["commits", "taken", "same item twice and taken", "taken later", "same item twice"],
)
def test_itemwise_transactions_end_as_motos_own_do(writes):
    def outcome():
        with mock_aws():
            client = Session().create_client("dynamodb", region_name=REGION)
            client.create_table(
                TableName="t",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )
            for key in ("a", "b"):
                client.put_item(TableName="t", Item={"pk": {"S": key}, "sk": {"S": "-"}, "n": {"N": "1"}})
            made = [WRITES[kind](key) for kind, key in writes]
            items = [{kind: {"TableName": "t", **rest}} for write in made for kind, rest in write.items()]
            error = ""
            try:
                client.transact_write_items(TransactItems=items)
            except client.exceptions.ClientError as problem:
                error = str(problem)
            return sorted(client.scan(TableName="t")["Items"], key=str), error

    with itemwise_transactions():
        itemwise = outcome()
    assert itemwise == outcome()
