"""How a release reaches traffic: a judge that compares arms, a rollout that obeys it, a page that shows both.

Pure code on counts. Nothing here sends anything: the rollout returns requests as data, and only the runtime acts.
"""
