"""The preference study: people say which of two or three pictures is better, and do not know who made them.

`plan` says what is asked, `build` makes the study's folder, `server` and `bundle` put it before raters, `votes` keeps
their answers, `ballots` joins the two again, `measures` and `report` say what came of it.
"""
