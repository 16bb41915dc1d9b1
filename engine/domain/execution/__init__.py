"""Execution algorithms: parent order in, child intents out; pure, the same live and on paper."""
