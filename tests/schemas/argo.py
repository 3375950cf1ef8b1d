"""Holds a workflow of Argo against the models that Hera makes from Argo's OpenAPI.

    argo.py FILE

The models overlook keys that they do not know. Their schema, closed, does not.
"""

import sys

import jsonschema
import yaml
from hera.workflows.models import Workflow


def close(schema):
    """No object may have keys beside those that its schema names."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            close(inner)


def innermost(error):
    """Of an `anyOf` that holds nowhere, what was wrong deepest in the document."""
    if not error.context:
        return error
    return max(map(innermost, error.context), key=lambda inner: len(inner.absolute_path))


def main(file):
    schema = Workflow.model_json_schema()
    close(schema)
    with open(file, encoding="utf-8") as text:
        workflow = yaml.safe_load(text)
    mistakes = list(jsonschema.Draft202012Validator(schema).iter_errors(workflow))
    for mistake in map(innermost, mistakes):
        print(f"{file}: {mistake.json_path}: {mistake.message}")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
