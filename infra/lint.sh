#!/bin/sh
# Everything that can be said of infra/ by tools that read it: cfn-lint, SAM, and cfn-lint again on what SAM makes
# of the template, since it passes bad properties of functions otherwise. Needs cfn-lint and aws-sam-cli (pip);
# Terraform and shellcheck where they are installed. Nothing here asks AWS.
set -eu
cd "$(dirname "$0")"
export SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
python=${PYTHON:-python3}
translated=$(mktemp -d)
trap 'rm -rf "$translated"' EXIT

echo "cfn-lint: template.yaml"
cfn-lint --include-checks I -- template.yaml
echo "sam validate --lint"
sam validate --lint -t template.yaml
echo "SAM's translation, and cfn-lint of it"
"$python" translate.py template.yaml "$translated/template.json"
# W3005 and its like name what SAM itself writes twice: only errors count here.
cfn-lint --ignore-checks W -- "$translated/template.json"

if command -v shellcheck >/dev/null; then
  echo "shellcheck"
  shellcheck install/*.sh ./*.sh
fi
if command -v terraform >/dev/null; then
  echo "terraform fmt"
  terraform fmt -check -diff terraform
fi
