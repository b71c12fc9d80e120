"""definition_check.py <definitions…> -- <documents…>: a line for each thing that a document has and its definition has not, or has otherwise.

The API server drops fields that a definition does not know; here they are mistakes.
"""

import sys

import jsonschema
import yaml


def strict(schema):
    """Unknown fields are refused wherever fields are named."""
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items() if key not in ("properties", "items", "x-kubernetes-validations")}
    if "properties" in schema:
        made["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if "items" in schema:
        made["items"] = strict(schema["items"])
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return made


def main():
    border = sys.argv.index("--")
    schemas = {}
    for path in sys.argv[1:border]:
        for definition in yaml.safe_load_all(open(path)):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # Of the API server's own.
                schema["properties"]["metadata"] = {"type": "object"}
                schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    checked = 0
    complaints = []
    for path in sys.argv[border + 1 :]:
        for document in yaml.safe_load_all(open(path)):
            if document is None or (document["apiVersion"], document["kind"]) not in schemas:
                continue
            checked += 1
            validator = jsonschema.Draft202012Validator(schemas[document["apiVersion"], document["kind"]])
            for error in validator.iter_errors(document):
                complaints.append(f"{path}: {document['kind']} {'.'.join(str(part) for part in error.absolute_path)}: {error.message[:200]}")
    print("\n".join(complaints))
    print(f"checked {checked}", file=sys.stderr)
    sys.exit(1 if complaints or checked == 0 else 0)


main()
