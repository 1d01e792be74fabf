"""A deployment in ministack: the built template as `sam deploy` sends it, IAM enforced. All of it is stopped again."""

import gzip
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from functions.stores.registry import Registry
from functions.stores.state import StateStore
from policy_client import HmacCredentials

ROOT = Path(__file__).parents[2]
SAM = ROOT / ".venvs/sam/bin/sam"
BUILT = ROOT / ".aws-sam/build/template.yaml"
REGION = "us-east-1"
STACK = "pointsman"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Key and certificate of the emulator. It speaks TLS because the buckets' policies refuse everything else."""
    folder = tmp_path_factory.mktemp("certificate")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    hosts = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(f"*.lambda-url.{REGION}.on.aws")]
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    unsigned = unsigned.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = unsigned.add_extension(x509.SubjectAlternativeName(hosts), critical=False).sign(key, hashes.SHA256())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(text)
    (folder / "certificate.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    return folder


@pytest.fixture(scope="session")
def environment(certificate, tmp_path_factory):
    """What every process of the deployment sees: the emulator, and nothing of the user's own AWS account."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
        "AWS_CA_BUNDLE": str(certificate / "certificate.pem"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "SAM_CLI_TELEMETRY": "0",
    }


@pytest.fixture(scope="session")
def endpoint(certificate, environment, tmp_path_factory):
    """Address of a running ministack, on a free port of the loopback interface and on no other."""
    folder = tmp_path_factory.mktemp("ministack")
    url = environment["AWS_ENDPOINT_URL"]
    port = urlsplit(url).port
    settings = environment | {
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificate / "certificate.pem"),
        "MINISTACK_SSL_KEY": str(certificate / "key.pem"),
        "AUTH": "true",
        "IOT_MTLS_ENABLED": "false",
    }
    with (folder / "log").open("w+") as log:
        command = [Path(sys.executable).with_name("ministack")]
        with _running(command, env=settings, cwd=folder, stdout=log, stderr=subprocess.STDOUT) as process:
            _wait_until(lambda: _answers(port) or process.poll() is not None, "ministack answers")
            assert process.poll() is None, (folder / "log").read_text()
            yield url


@pytest.fixture(scope="session")
def aws(endpoint, environment):
    """A client of the account's root, by service."""
    session = Session()
    session.set_credentials("test", "test")

    def client(service):
        return session.create_client(
            service, region_name=REGION, endpoint_url=endpoint, verify=environment["AWS_CA_BUNDLE"]
        )

    return client


@pytest.fixture(scope="session")
def stack(endpoint, aws, environment):
    """Outputs by name and physical ids by logical name, of the template as it stands."""
    command = [SAM, "deploy", "--template-file", BUILT, "--stack-name", STACK, "--resolve-s3", "--no-progressbar"]
    command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    # The one thing that ministack's CloudFormation does not know is AWS::Athena::NamedQuery.
    command += ["--parameter-overrides", "SavedQueries=false"]
    # Not from the checkout: a deployer's own samconfig.toml must not matter.
    ended = subprocess.run(
        command, cwd=environment["HOME"], env=environment, capture_output=True, text=True, timeout=180
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    deployed = Deployed(aws, environment)
    # AWS lets sqs:SendMessage send batches too; ministack asks for an action that IAM does not have.
    for role in ("IngestRole", "LearnRole"):
        statement = {"Effect": "Allow", "Action": "sqs:SendMessageBatch", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        aws("iam").put_role_policy(RoleName=deployed.ids[role], PolicyName="batches", PolicyDocument=document)
    return deployed


class Deployed:
    """The stack as its deployer sees it."""

    def __init__(self, aws, environment):
        cloudformation = aws("cloudformation")
        (described,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
        found = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
        self.aws, self.port = aws, urlsplit(environment["AWS_ENDPOINT_URL"]).port
        self.trusted = ssl.create_default_context(cafile=environment["AWS_CA_BUNDLE"])

    def post(self, output, path, document, *, user=None, tenant=None):
        """Status and reply of a POST to the Function URL of an output, signed by whoever is given."""
        url = self.outputs[output].rstrip("/") + path
        body = json.dumps(document).encode()
        headers = {"content-type": "application/json"}
        if tenant is not None:
            headers |= tenant.headers(url, path, body, time.time_ns() // 1_000_000)
        if user is not None:
            request = AWSRequest("POST", url, headers, body)
            SigV4Auth(user, "lambda", REGION).add_auth(request)
            headers = dict(request.headers.items())
        connection = _Redirected(urlsplit(url).netloc, self.port, context=self.trusted, timeout=60)
        try:
            connection.request("POST", path, body, headers | {"host": urlsplit(url).netloc})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def user(self, name, *outputs):
        """Credentials of a new IAM user with the policies of these outputs."""
        iam = self.aws("iam")
        iam.create_user(UserName=name)
        for output in outputs:
            iam.attach_user_policy(UserName=name, PolicyArn=self.outputs[output])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def enrol(self, name):
        """An HMAC key of a new tenant."""
        secret = name.encode().ljust(32, b"-")
        Registry(self.aws("dynamodb"), self.outputs["StateTableName"]).enrol(name, keys={f"key-{name}": secret})
        return HmacCredentials(f"key-{name}", secret)

    def records(self, tenant, folder):
        """Lines that were filed for a tenant."""
        s3, bucket = self.aws("s3"), self.outputs["RecordsBucketName"]
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{tenant}/{folder}/").get("Contents", ())
        bodies = [s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found]
        return [json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines()]

    def logs(self, group):
        """What a function said, oldest first."""
        found = self.aws("logs").filter_log_events(logGroupName=self.ids[group])["events"]
        return [each["message"] for each in found]

    def cells(self, tenant):
        """Outcomes counted for a tenant, by cell."""
        pages = self.aws("dynamodb").get_paginator("scan").paginate(TableName=self.ids["StatisticsTable"])
        found = [item for page in pages for item in page["Items"] if item["sk"]["S"].startswith("cell#")]
        return {each["sk"]["S"]: int(each["c"]["N"]) for each in found if each["pk"]["S"].startswith(f"{tenant}#")}

    def state(self, tenant):
        """What `route` decides with."""
        return StateStore(
            self.aws("dynamodb"), self.aws("s3"), self.outputs["StateTableName"], self.ids["StateBucket"]
        ).current(tenant)

    def athena(self, query, eventually):
        """Rows of a query in the stack's own database and workgroup, as text."""
        athena = self.aws("athena")
        started = athena.start_query_execution(
            QueryString=query,
            QueryExecutionContext={"Database": self.outputs["AnalysisDatabase"]},
            WorkGroup=self.outputs["AnalysisWorkGroup"],
        )["QueryExecutionId"]

        def ended():
            status = athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"]
            return status if status["State"] not in ("QUEUED", "RUNNING") else None

        status = eventually(ended, "a query's end")
        assert status["State"] == "SUCCEEDED", status
        rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"]
        return [[datum["VarCharValue"] for datum in row["Data"]] for row in rows[1:]]


@pytest.fixture(scope="session")
def eventually():
    return _wait_until


def _wait_until(condition, what, seconds=45.0):
    """What `condition` comes to, once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)
    return found


class _Redirected(http.client.HTTPSConnection):
    """Goes to the loopback interface, whatever the host is called; the certificate is held to the host's name."""

    def connect(self):
        self.sock = self._context.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), self.timeout), server_hostname=self.host
        )


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def _running(command, **options):
    """In a session of its own, so that the workers it starts end with it. Nothing it holds is worth a long goodbye."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
