"""Trimmed service models: nothing that a request depends on is gone."""

import gzip
import json
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import get_session

from functions.stores import models

STORED = Path(models.__file__).parent / "models"
PUT = {"TableName": "t", "Item": {"pk": {"S": "a"}}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
CALLS = [
    ("dynamodb", "get_item", {"TableName": "t", "Key": {"pk": {"S": "a"}}, "ConsistentRead": True}),
    ("dynamodb", "transact_write_items", {"TransactItems": [{"Put": PUT}], "ClientRequestToken": "token"}),
    ("s3", "get_object", {"Bucket": "some-bucket", "Key": "acme/state/a.json.gz"}),
    ("s3", "put_object", {"Bucket": "dotted.bucket", "Key": "a/b c", "Body": b"text", "IfNoneMatch": "*"}),
    ("s3", "list_objects_v2", {"Bucket": "some-bucket", "Prefix": "a/"}),
    ("sqs", "send_message", {"QueueUrl": "https://sqs.test/1/records", "MessageBody": "text"}),
    ("secretsmanager", "get_secret_value", {"SecretId": "signing"}),
]
REGIONS = ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "eu-west-99"]


class StoppedError(Exception):
    """A request, caught on the way out."""


def test_the_stored_models_are_those_of_the_installed_botocore():
    stored = {path.name.split(".")[0]: json.loads(gzip.decompress(path.read_bytes())) for path in STORED.glob("*.gz")}
    assert stored == models.trimmed(Loader()), "run `python -m functions.stores.models`"


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(("service", "operation", "arguments"), CALLS, ids=[call[1] for call in CALLS])
def test_a_request_is_the_one_that_botocores_own_models_make(service, operation, arguments, region):
    own, full = (_request(loader, region, service, operation, arguments) for loader in (models.OwnModels(), Loader()))
    assert own == full


def _request(loader, region, service, operation, arguments):
    """Method, URL, body and headers as they would be sent, without what the time of day puts into them."""
    session = get_session()
    session.register_component("data_loader", loader)
    session.set_credentials("key", "secret")
    client = session.create_client(service, region_name=region, config=Config(retries={"total_max_attempts": 1}))

    def stop(request, **_):
        raise StoppedError(request)

    client.meta.events.register_first("before-send", stop)
    with pytest.raises(StoppedError) as stopped:
        getattr(client, operation)(**arguments)
    (request,) = stopped.value.args
    varying = {"X-Amz-Date", "Authorization", "amz-sdk-invocation-id", "amz-sdk-request"}
    headers = {name: value for name, value in request.headers.items() if name not in varying}
    body = request.body.read() if hasattr(request.body, "read") else request.body
    return request.method, request.url, body, headers
