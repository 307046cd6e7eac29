"""What packaging names is there: sources of the image, files of the Debian package, resources, volumes, Secrets.

Usage: tests/packages.py REPOSITORY
"""
import pathlib
import shlex
import sys
import tomllib

import yaml

root = pathlib.Path(sys.argv[1])
checked = 0


def check(holds, what):
    global checked
    checked += 1
    if not holds:
        sys.exit(what)


def documents(file):
    return [one for one in yaml.safe_load_all(file.read_text()) if one]


def dockerfile(file):
    """What is copied into the image exists, and `.dockerignore` lets it through."""
    lines = (root / ".dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in lines if line.startswith("!")]
    check("*" in lines, ".dockerignore lets everything through")
    for line in file.read_text().splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["COPY"] or any(word.startswith("--from=") for word in words):
            continue
        sources = [word for word in words[1:-1] if not word.startswith("--")]
        for source in sources:
            check((root / source).exists(), f"{file}: no {source}")
            check(source in let_through, f".dockerignore keeps {source} out")
    check('USER 65532:65532' in file.read_text(), f"{file}: runs as root")


def debian(manifest):
    """Files of the package and its scripts exist; binaries are those of the workspace."""
    deb = tomllib.loads(manifest.read_text())["package"]["metadata"]["deb"]
    members = [tomllib.loads(file.read_text()) for file in root.glob("crates/*/Cargo.toml")]
    binaries = {binary["name"] for member in members for binary in member.get("bin", [])}
    for source, *_ in deb["assets"]:
        if "target/package/" in source:
            continue  # Made by tools/deb.
        if source.startswith("target/release/"):
            check(pathlib.Path(source).name in binaries, f"{manifest}: no binary {source}")
        else:
            check(any(manifest.parent.glob(source)), f"{manifest}: no {source}")
    targets = [("/" + target if target[0] != "/" else target) for _, target, _ in deb["assets"]]
    for file in deb["conf-files"]:
        check(file in targets, f"{manifest}: {file} is no file of the package")
    check((manifest.parent / deb["maintainer-scripts"] / "postinst").exists(), "no postinst")
    units = deb["systemd-units"]
    unit = manifest.parent / units["unit-scripts"] / f"{units['unit-name']}.service"
    check(unit.exists(), f"{manifest}: no {unit}")


def kubernetes(folder):
    """Every file is applied, every volume is there, and the pods are as closed as they say."""
    kustomization = documents(folder / "kustomization.yaml")[0]
    manifests = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
    check(set(kustomization["resources"]) == manifests, f"{folder}: resources are not its files")
    for generator in kustomization["configMapGenerator"]:
        for file in generator["files"]:
            check((folder / file).exists(), f"{folder}: no {file}")
    maps = {generator["name"] for generator in kustomization["configMapGenerator"]}
    accounts = {one["metadata"]["name"] for one in documents(folder / "service-account.yaml")}
    workloads = [one for file in folder.rglob("*.yaml") for one in documents(file)
                 if one["kind"] in ("Deployment", "Job")]
    check(len(workloads) == 2, f"{folder}: not the Deployment and the Job")
    for workload in workloads:
        name, pod = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
        check(pod["serviceAccountName"] in accounts, f"{name}: no such service account")
        check(pod["automountServiceAccountToken"] is False, f"{name}: has a token of the cluster")
        check(pod["securityContext"]["runAsNonRoot"], f"{name}: may run as root")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        used = set()
        for container in pod.get("initContainers", []) + pod["containers"]:
            rights = container["securityContext"]
            check(rights["readOnlyRootFilesystem"], f"{name}: can write its image")
            check(rights["capabilities"] == {"drop": ["ALL"]}, f"{name}: has capabilities")
            check(not rights["allowPrivilegeEscalation"], f"{name}: may become more")
            used |= {mount["name"] for mount in container["volumeMounts"]}
        check(used == set(volumes), f"{name}: volumes that nobody mounts, or mounts of none")
        for volume in volumes.values():
            if "configMap" in volume:
                check(volume["configMap"]["name"] in maps, f"{name}: no such ConfigMap")
            if "secret" in volume:
                check(volume["secret"]["defaultMode"] == 0o400, f"{name}: a Secret is open")
    settings(folder, workloads)
    selectors(folder)


def settings(folder, workloads):
    """The files that the settings name are mounted, and pods outlive what they drain."""
    said = tomllib.loads((folder / "coffer.toml").read_text())
    server = next(one for one in workloads if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    container = server["containers"][0]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    files = [said["tls"]["certificate"], said["tls"]["key"], said["store"]["ca_file"],
             said["store"]["password_file"], said["data"]]
    for file in files:
        check(any(file.startswith(mount + "/") for mount in mounts), f"{file} is not mounted")
    env = {one["name"]: one["value"] for one in container["env"]}
    check(env["CREDENTIALS_DIRECTORY"] in mounts, "credentials are not mounted")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    check(said["listen"] == [f"0.0.0.0:{ports['https']}"], "another port is listened on")
    check(said["metrics"]["listen"] == f"0.0.0.0:{ports['metrics']}", "figures are elsewhere")
    drain = said.get("limits", {}).get("drain_seconds", 10)
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    check(server["terminationGracePeriodSeconds"] > 2 * drain + sleep, "pods end too early")


def selectors(folder):
    """What selects pods selects those of the Deployment."""
    labels = documents(folder / "deployment.yaml")[0]["spec"]["template"]["metadata"]["labels"]
    for file, where in [("deployment.yaml", ["selector", "matchLabels"]), ("service.yaml", ["selector"]),
                        ("disruption.yaml", ["selector", "matchLabels"]),
                        ("network.yaml", ["podSelector", "matchLabels"])]:
        wanted = documents(folder / file)[0]["spec"]
        for name in where:
            wanted = wanted[name]
        check(wanted.items() <= labels.items(), f"{file} selects no server")


dockerfile(root / "packaging/docker/Dockerfile")
debian(root / "crates/server/Cargo.toml")
kubernetes(root / "packaging/kubernetes")
print(f"packages: {checked} passed, 0 failed")
