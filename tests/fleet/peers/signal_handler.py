"""The signal function as one would write it in Python: the peer that `fleet bench functions` measures.

It speaks the Lambda Runtime API itself, as the managed runtime does, verifies an HS256 order by hand
and asks EC2 for the snapshots of an instance's volumes. Not deployed anywhere.
"""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request

import boto3
from botocore.config import Config

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime"
ONCE = Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=10)
ec2 = boto3.client("ec2", config=ONCE)
ssm = boto3.client("ssm", config=ONCE)


def unpad(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def order_of(token, key):
    head, claims, signature = token.split(".")
    wanted = hmac.new(key, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(wanted, unpad(signature)):
        raise ValueError("bad signature")
    order = json.loads(unpad(claims))
    if order["exp"] < time.time():
        raise ValueError("expired")
    return order


def answer(event):
    parameter = ssm.get_parameter(Name="/stillframe/signing-key", WithDecryption=True)
    key = base64.b64decode(parameter["Parameter"]["Value"])
    if "ready" in event:
        return {"ready": {"run": order_of(event["ready"]["order"], key)["jti"]}}
    order = order_of(event["frozen"]["order"], key)
    tags = [{"Key": name, "Value": value} for name, value in order["tags"].items()]
    made = ec2.create_snapshots(
        InstanceSpecification={"InstanceId": order["sub"], "ExcludeBootVolume": order["exclude_boot"]},
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    snapshots = [{"volume": s["VolumeId"], "snapshot": s["SnapshotId"]} for s in made["Snapshots"]]
    return {"cut": {"run": order["jti"], "snapshots": snapshots}}


while True:
    with urllib.request.urlopen(API + "/invocation/next") as invocation:
        request = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.load(invocation)
    try:
        where, result = "response", answer(event)
    except Exception as error:  # the runtime's own contract: any error becomes an error answer
        where, result = "error", {"errorMessage": str(error), "errorType": type(error).__name__}
    body = json.dumps(result).encode()
    urllib.request.urlopen(
        urllib.request.Request(f"{API}/invocation/{request}/{where}", body, method="POST")
    ).close()
