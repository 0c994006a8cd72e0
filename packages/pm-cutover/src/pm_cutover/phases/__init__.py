"""The verbs of `pm`, one module each; every one derives what is left to do from the systems themselves."""
