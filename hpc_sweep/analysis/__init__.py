"""Numbers in, judgements out: tables, the decision and its alarms; pure."""
