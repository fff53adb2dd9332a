"""Validates texts against schemas, by the jsonschema package: an independent opinion.

    validate_json.py FILE

FILE has a JSON object a line, {"schema": ..., "text": ...}. Prints each text that is no JSON or does
not satisfy its schema, then how many did. Exits with 1 if any did not.
"""
import datetime
import json
import sys

import jsonschema

checker = jsonschema.FormatChecker()


@checker.checks("date-time", raises=ValueError)
def is_date_time(value):
    if isinstance(value, str):
        datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return True


@checker.checks("time", raises=ValueError)
def is_time(value):
    if isinstance(value, str):
        datetime.time.fromisoformat(value.replace("Z", "+00:00"))
    return True


good = bad = 0
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        case = json.loads(line)
        try:
            value = json.loads(case["text"])
            jsonschema.Draft202012Validator(case["schema"], format_checker=checker).validate(value)
            good += 1
        except (ValueError, jsonschema.ValidationError) as error:
            bad += 1
            message = getattr(error, "message", str(error))
            print(f"{message}\n  schema {json.dumps(case['schema'])}\n  text   {case['text']}")
print(f"{good} valid, {bad} not")
sys.exit(1 if bad else 0)
