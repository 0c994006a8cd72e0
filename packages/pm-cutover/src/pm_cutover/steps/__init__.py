"""The steps of the protocol that moves the writer; ``pm_cutover.protocol`` puts them in order."""
