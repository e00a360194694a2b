"""Translates the SAM template into plain CloudFormation, as AWS does when it is deployed, and writes it as JSON."""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoPolicies:
    """The template names no managed policy by its short name: nothing is to be asked of IAM."""

    def load(self):
        return {}


def code_in_s3(template):
    """`sam deploy` puts code there first; a translation needs some place."""
    places = [template.get("Globals", {}).get("Function", {})]
    places += [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Function"]
    for place in places:
        if "CodeUri" in place:
            place["CodeUri"] = {"Bucket": "packages", "Key": "function.zip"}
    return template


def main(source, target):
    with open(source, encoding="utf-8") as file:
        template = code_in_s3(yaml_parse(file.read()))
    translated = transform(template, {}, NoPolicies())
    with open(target, "w", encoding="utf-8") as file:
        json.dump(translated, file, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
