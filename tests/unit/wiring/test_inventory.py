"""Ways into a pipeline, told by path and text: what each does, its tier, and whether the door is on its way."""

import time

import pytest

from bywire.wiring.inventory import Through, entry_points

CLASSES = {"ci_workflows": r"^\.github/workflows/.+$", "build_scripts": r"(^|/)Makefile$"}


def point(path, text):
    found = entry_points({path: text}, CLASSES, "medium")
    return found[0] if found else None


@pytest.mark.parametrize(
    ("path", "text", "kind", "tier", "through"),
    [
        (".github/workflows/ship.yml", "run: kubectl apply -f k8s/", "GitHub Actions", "high", Through.NO),
        (".github/workflows/ship.yml", "run: bywire deliver --goal x", "GitHub Actions", "high", Through.YES),
        (".github/workflows/ship.yml", "run: bywire --repo . deliver --goal x", "GitHub Actions", "high", Through.YES),
        (".github/workflows/both.yml", "bywire deliver\ndocker push x", "GitHub Actions", "high", Through.PARTLY),
        (".github/workflows/test.yml", "run: pytest", "GitHub Actions", "high", Through.NOT_SEEN),
        (".gitlab-ci.yml", "script: [helm upgrade x]", "GitLab CI", "medium", Through.NO),
        ("ci/Jenkinsfile", "sh 'terraform apply'", "Jenkins", "medium", Through.NO),
        (".circleci/config.yml", "aws ecs update-service", "CircleCI", "medium", Through.NO),
        ("azure-pipelines.yml", "az webapp up", "Azure Pipelines", "medium", Through.NO),
        (".buildkite/pipeline.yml", "", "Buildkite", "medium", Through.NOT_SEEN),
        ("Makefile", "deploy:\n\tkubectl rollout restart deploy/x\n", "build target", "high", Through.NO),
        ("Makefile", "release: build\n\tbywire deliver --goal x\n", "build target", "high", Through.YES),
        ("package.json", '{"scripts": {"deploy": "vercel --prod"}}', "build target", "medium", Through.NO),
        ("scripts/ship.sh", "rsync -a out/ host:/srv", "script", "medium", Through.NO),
        ("tools/deploy.sh", "./run-it", "script", "medium", Through.NOT_SEEN),
        ("ops/app.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\n", "GitOps", "medium", Through.NO),
        ("flux/a.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization", "GitOps", "medium", "no"),
        ("k8s/job.yaml", "apiVersion: batch/v1\nkind: CronJob\n", "cron", "medium", Through.NO),
        ("etc/crontab", "0 3 * * * root deploy", "cron", "medium", Through.NO),
        ("infra/main.tf", "resource x {}", "infrastructure as code", "medium", Through.NO),
        (".github/dependabot.yml", "schedule:\n", "dependency bot", "medium", Through.NOT_SEEN),
    ],
)
def test_an_entry_point_is_recognised(path, text, kind, tier, through):
    found = point(path, text)
    assert (found.kind, found.tier, found.through_bywire) == (kind, tier, through)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Makefile", "test:\n\tpytest\n"),
        ("src/app.py", "kubectl apply"),
        ("k8s/deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\n"),
        ("scripts/lint.sh", "ruff check"),
        ("package.json", '{"scripts": {"test": "jest"}, "description": "about to deploy"}'),
        ("config.yaml", "a: 1"),
    ],
)
def test_what_leads_nowhere_is_none(path, text):
    assert point(path, text) is None


def test_what_it_does_is_named():
    text = "on:\n  schedule:\n    - cron: '0 3 * * *'\nrun: helm   upgrade x\nrun: git push\n"
    assert point(".github/workflows/x.yml", text).does == ("on a schedule", "helm upgrade", "git push")
    assert point("Makefile", "deploy-prod:\n\ttrue\nroll: x\npre-release:\n").does == ("deploy-prod", "pre-release")


@pytest.mark.parametrize(
    "text",
    ["a-" * 30_000, "gcloud " * 9_000, "gcloud" + " " * 60_000, "bywire " + "--a b " * 9_000, "ssh " + "x" * 60_000],
)
def test_hostile_text_costs_little(text):
    started = time.process_time()
    point(".github/workflows/x.yml", text)
    point("Makefile", text)
    assert time.process_time() - started < 2
