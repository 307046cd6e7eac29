"""Our KMS against another implementation, the `cryptography` package and the `openssl` command, both ways: what
one side signs, seals or wraps, the other verifies, opens or imports. tests/interop.sh runs it with a server.
"""

import base64
import functools
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from itertools import count, cycle, product

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as encodings
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
CURVES = {"ecdsa-p256": ec.SECP256R1(), "ecdsa-p384": ec.SECP384R1(), "ecdsa-p521": ec.SECP521R1()}
OWN_HASH = {"ecdsa-p384": "sha384", "ecdsa-p521": "sha512"}  # of the other types: sha256
CIPHERS = {"aes128-gcm96": AESGCM, "aes256-gcm96": AESGCM, "chacha20-poly1305": ChaCha20Poly1305}
KEY_BYTES = {"aes128-gcm96": 16, "aes256-gcm96": 32, "chacha20-poly1305": 32}
CONTEXTS = {"no context": b"", "a context": b"tenant-7", "the longest context": os.urandom(1024)}
MESSAGES = [b"", b"message", os.urandom(65_536)]

ORGANISATION, REGION = os.environ["COFFER_ORGANISATION"], os.environ["COFFER_REGION"]
KMS = f"/v1/kms/{REGION}"
RUN, NUMBERS = secrets.token_hex(4), count(1)
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
passed = 0


def fail(label, expected, actual):
    sys.exit(f"FAILED {label}\n  expected {str(expected)[:1000]}\n  but got  {str(actual)[:1000]}")


def equal(label, actual, expected):
    global passed
    if actual != expected:
        fail(label, repr(expected), repr(actual))
    passed += 1
    print(f"ok {label}", flush=True)


def send(method, path, body=None):
    headers = {"Authorization": f"Bearer {os.environ['COFFER_TOKEN']}", "Content-Type": "application/json"}
    headers["X-Organisation-Identity"] = ORGANISATION
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["COFFER_ENDPOINT"] + path, data, headers, method=method)
    try:
        with OPENER.open(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def call(method, path, body=None, status=200):
    actual, answer = send(method, path, body)
    if actual != status:
        fail(f"{method} {path} {json.dumps(body)[:300]}", f"status {status}", f"{actual} {answer}")
    return answer


def refused(label, why, path, body):
    """Checks that the answer is 400 and its message says `why`: that it is refused for the right reason."""
    status, answer = send("POST", path, body)
    expected = f"400 with a message that says: {why}"
    right = status == 400 and why in answer["message"]
    equal(f"{label}: refused", expected if right else (status, answer), expected)


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text, validate=True)


def versioned(data, version=1):
    return f"thalassa:v{version}:{b64(data)}"


def parsed(text):
    """The version and the bytes of a ciphertext, a signature or a tag."""
    match = re.fullmatch(r"thalassa:v([1-9][0-9]*):([A-Za-z0-9+/]+={0,2})", text)
    if not match:
        fail("the form of an answer", "thalassa:v<version>:<base64>", text)
    return int(match[1]), unb64(match[2])


def altered(data, at=-1):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def new_key(key_type, fields):
    return {"name": f"interop-{RUN}-{next(NUMBERS)}", "keyType": key_type, **fields}


class Key:
    """A new key of the server's."""

    def __init__(self, key_type, **fields):
        self.type = key_type
        self.made = call("POST", f"{KMS}/keys", new_key(key_type, fields), 201)
        self.path = f"{KMS}/keys/{self.made['identity']}"

    def do(self, operation, **body):
        return call("POST", f"{self.path}/{operation}", body or None)

    def refuses(self, label, why, operation, **body):
        refused(f"{self.type}: {label}", why, f"{self.path}/{operation}", body or None)

    def public_texts(self, query=""):
        return call("GET", f"{self.path}/public-key{query}")["keys"]

    def public(self, version=1):
        text = self.public_texts()[str(version)]
        if self.type == "ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(unb64(text))
        return encodings.load_pem_public_key(text.encode())

    def material(self, version=1):
        return unb64(self.do("export", keyVersion=str(version))["keyMaterial"])

    def private(self):
        return encodings.load_der_private_key(self.material(), None)

    def seals(self, plaintext, **more):
        return self.do("encrypt", plaintext=b64(plaintext), **more)["ciphertext"]

    def opens(self, ciphertext, **more):
        return unb64(self.do("decrypt", ciphertext=ciphertext, **more)["plaintext"])

    def signs(self, case, data, **more):
        return parsed(self.do("sign", input=b64(data), **case, **more)["signature"])

    def verifies(self, case, data, signature, version=1):
        return self.do("verify", input=b64(data), signature=versioned(signature, version), **case)["valid"]


@functools.cache
def exportable(key_type):
    """One key of a type for all checks that only use it: RSA keys take long to make."""
    return Key(key_type, exportAllowed=True)


# Signatures. A case is what a request to sign or verify says beside its input.


def cases(form, *values):
    """Every hash × every form of a signature × message or digest, with the defaults (None)."""
    for name, value, prehashed in product([None, *HASHES], [None, *values], [None, True]):
        case = {"hashAlgorithm": name, form: value, "prehashed": prehashed}
        yield {field: wish for field, wish in case.items() if wish is not None}


SIGNING = {
    "ed25519": [{}] * len(MESSAGES),
    **{key_type: list(cases("marshalling", "asn1", "jws")) for key_type in CURVES},
    "rsa-2048": list(cases("signatureAlgorithm", "pss", "pkcs1v15")),
    "rsa-3072": [{}, {"signatureAlgorithm": "pkcs1v15"}],
    "rsa-4096": [{}, {"signatureAlgorithm": "pkcs1v15"}],
}


def name_of(key_type, case):
    return " ".join([key_type, *("prehashed" if wish is True else wish for wish in case.values())])


def hash_of(key_type, case):
    return HASHES[case.get("hashAlgorithm") or OWN_HASH.get(key_type, "sha256")]


def scheme(key_type, case):
    """What Python's sign and verify take after the data."""
    own = hash_of(key_type, case)
    chosen = utils.Prehashed(own) if case.get("prehashed") else own
    if key_type == "ed25519":
        return ()
    if key_type in CURVES:
        return (ec.ECDSA(chosen),)
    if case.get("signatureAlgorithm") == "pkcs1v15":
        return (padding.PKCS1v15(), chosen)
    return (padding.PSS(padding.MGF1(own), padding.PSS.DIGEST_LENGTH), chosen)


def python_signs(private, key_type, case, data):
    signature = private.sign(data, *scheme(key_type, case))
    if case.get("marshalling") != "jws":
        return signature
    size = (private.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(signature))


def python_verifies(public, key_type, case, data, signature):
    if case.get("marshalling") == "jws":
        size = (public.key_size + 7) // 8
        if len(signature) != 2 * size:
            return False
        halves = signature[:size], signature[size:]
        signature = utils.encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
    try:
        public.verify(signature, data, *scheme(key_type, case))
        return True
    except InvalidSignature:
        return False


def check_signatures():
    for key_type, all_cases in SIGNING.items():
        key = exportable(key_type)
        public, private = key.public(), key.private()
        equal(f"{key_type}: the exported key belongs to the public one", private.public_key() == public, True)
        for case, message in zip(all_cases, cycle(MESSAGES)):
            label, data = f"{name_of(key_type, case)}, {len(message)} bytes", message
            if case.get("prehashed"):
                data = hashlib.new(hash_of(key_type, case).name, message).digest()
            other = altered(data or b"no", 0)  # at the front: ECDSA drops the end of a long digest
            version, theirs = key.signs(case, data)
            verdict = version, python_verifies(public, key_type, case, data, theirs)
            equal(f"{label}: Python verifies the server's", verdict, (1, True))
            ours = python_signs(private, key_type, case, data)
            equal(f"{label}: the server verifies Python's", key.verifies(case, data, ours), True)
            wrong = [(data, altered(ours)), (data, altered(ours, len(ours) // 2)), (other, ours)]
            verdicts = [key.verifies(case, *one) for one in wrong]
            equal(f"{label}: not an altered one, not for another input", verdicts, [False] * 3)


def check_other_schemes():
    """Signatures that are right, but not in the scheme that is asked for."""
    key, mgf = exportable("rsa-2048"), padding.MGF1(HASHES["sha256"])
    for label, form in {
        "PSS without salt": padding.PSS(mgf, 0),
        "PSS with the longest salt": padding.PSS(mgf, padding.PSS.MAX_LENGTH),
        "PSS with MGF1 of another hash": padding.PSS(padding.MGF1(HASHES["sha384"]), 32),
        "PKCS#1 v1.5 where PSS is the default": padding.PKCS1v15(),
    }.items():
        signature = key.private().sign(b"message", form, HASHES["sha256"])
        equal(f"rsa-2048: {label} is not valid", key.verifies({}, b"message", signature), False)
    for key_type in CURVES:
        key = exportable(key_type)
        signature = python_signs(key.private(), key_type, {"marshalling": "jws"}, b"message")
        verdict = key.verifies({"marshalling": "asn1"}, b"message", signature)
        equal(f"{key_type}: r||s where DER is asked for is not valid", verdict, False)
    digest = b64(bytes(64))
    exportable("ed25519").refuses("signing a digest", "prehashed", "sign", input=digest, prehashed=True)


def check_versions():
    for key_type in ["ed25519", *CURVES, "rsa-2048"]:
        key = Key(key_type)
        first = key.signs({}, b"message")
        equal(f"{key_type}: rotated", key.do("rotate")["latestVersion"], 2)
        publics = {1: key.public(1), 2: key.public(2)}
        equal(f"{key_type}: the public key of ?version=1", list(key.public_texts("?version=1")), ["1"])
        for when, (version, signature), by in [
            ("before", first, 1),
            ("after", key.signs({}, b"message"), 2),
            ("with version 1 after", key.signs({}, b"message", keyVersion="1"), 1),
        ]:
            signed = {}, b"message", signature
            python = [v for v, public in publics.items() if python_verifies(public, key_type, *signed)]
            server = [v for v in publics if key.verifies(*signed, v)]
            label = f"{key_type}: signed {when} a rotation, of version {by} and no other"
            equal(label, (version, python, server), (by, [by], [by]))


DGST = "dgst -verify public.pem -signature signature"
PSS = f"{DGST} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"
PURE = "pkeyutl -verify -rawin -pubin -inkey public.pem -sigfile signature -in"
OPENSSL = [  # key type, case, command of openssl but for the message
    ("ed25519", {}, PURE),
    *((key_type, {"hashAlgorithm": name}, f"{DGST} -{name}") for key_type, name in product(CURVES, HASHES)),
    *(("rsa-2048", {"hashAlgorithm": name}, f"{PSS} -{name}") for name in HASHES),
    *(("rsa-2048", {"hashAlgorithm": n, "signatureAlgorithm": "pkcs1v15"}, f"{DGST} -{n}") for n in HASHES),
]


def check_openssl():
    with tempfile.TemporaryDirectory() as folder:
        for key_type, case, command in OPENSSL:
            key, label = exportable(key_type), name_of(key_type, case)
            spki = encodings.PublicFormat.SubjectPublicKeyInfo
            pem = key.public().public_bytes(encodings.Encoding.PEM, spki)
            if key_type != "ed25519":  # the server gives its bare 32 bytes
                equal(f"{label}: the PEM is as Python writes it", key.public_texts()["1"], pem.decode())
            signature = key.signs(case, b"message")[1]
            files = {"public.pem": pem, "signature": signature, "right": b"message", "wrong": b"massage"}
            for name, data in files.items():
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(data)
            runs = [["openssl", *command.split(), name] for name in ("right", "wrong")]
            codes = [subprocess.run(run, cwd=folder, capture_output=True).returncode for run in runs]
            equal(f"{label}: openssl verifies it, not for another message", codes, [0, 1])


# Ciphertexts and tags.


@functools.cache
def identities():
    """Of the organisation and the region, which the settings may call by their slugs."""

    def find(name, known):
        return next(one["identity"] for one in known if name in (one["identity"], one["slug"]))

    memberships = call("GET", "/v1/me/organisation-memberships")
    organisation = find(ORGANISATION, [membership["organisation"] for membership in memberships])
    return organisation, find(REGION, call("GET", "/v1/regions"))


def additional_data(key, version, context):
    names = [*identities(), key.made.get("projectId", ""), key.made["identity"]]
    texts = [text.encode() for text in ["coffer/1/kms-encrypt", *names]]
    fields = [*texts, version.to_bytes(8, "big"), context]
    return b"".join(len(field).to_bytes(8, "big") + field for field in fields)


def python_seals(key, material, plaintext, context, version):
    nonce, bound = os.urandom(12), additional_data(key, version, context)
    return nonce + CIPHERS[key.type](material).encrypt(nonce, plaintext, bound)


def python_opens(key, material, ciphertext, context=b""):
    """The version and the plaintext; None when it does not open."""
    version, data = parsed(ciphertext)
    bound = additional_data(key, version, context)
    try:
        return version, CIPHERS[key.type](material).decrypt(data[:12], data[12:], bound)
    except InvalidTag:
        return version, None


def said(context):
    return {"context": b64(context)} if context else {}


def check_ciphertexts():
    for key_type, length in KEY_BYTES.items():
        key, other = Key(key_type, exportAllowed=True), Key(key_type)
        key.do("rotate")
        for version, (name, context) in product([1, 2], CONTEXTS.items()):
            label, material = f"v{version}, {name}", key.material(version)
            equal(f"{key_type}: {label}, length of the key", len(material), length)
            for plaintext in [b"\0", os.urandom(65_535)]:
                what = f"{key_type}: {label}, {len(plaintext)} bytes"
                theirs = key.seals(plaintext, keyVersion=str(version), **said(context))
                opened = python_opens(key, material, theirs, context)
                equal(f"{what}: Python opens the server's", opened, (version, plaintext))
                ours = versioned(python_seals(key, material, plaintext, context, version), version)
                equal(f"{what}: the server opens Python's", key.opens(ours, **said(context)), plaintext)
            sealed = python_seals(key, material, b"hunter2", context, version)
            for why, at, changed, as_version, with_context in [
                ("with another context", key, sealed, version, altered(context or b"no")),
                ("altered", key, altered(sealed), version, context),
                ("with another nonce", key, altered(sealed, 0), version, context),
                ("cut", key, sealed[:-1], version, context),
                ("as another version", key, sealed, 3 - version, context),
                ("with another key", other, sealed, 1, context),
            ]:
                body = {"ciphertext": versioned(changed, as_version), **said(with_context)}
                at.refuses(f"{label}, opening {why}", "ciphertext", "decrypt", **body)


def check_data_keys():
    for key_type in CIPHERS:
        key, made = Key(key_type, exportAllowed=True), []
        key.refuses("a data key of 24 bytes", "keyBytes", "generate-data-key", keyBytes=24)
        for length, (name, context) in product([16, 32, 64], CONTEXTS.items()):
            answer = key.do("generate-data-key", keyBytes=length, **said(context))
            sealed, plaintext = answer["ciphertext"], unb64(answer["plaintext"])
            label = f"data key of {length} bytes, {name}"
            equal(f"{key_type}: {label}, length", len(plaintext), length)
            made.append((label, context, sealed, plaintext))
        key.do("rotate")
        for label, context, sealed, plaintext in made:
            again = key.do("rewrap", ciphertext=sealed, **said(context))["ciphertext"]
            for how, text, version in [("made", sealed, 1), ("rewrapped", again, 2)]:
                what = f"{key_type}: {label}, {how}"
                equal(f"{what}, the server opens it", key.opens(text, **said(context)), plaintext)
                opened = python_opens(key, key.material(version), text, context)
                equal(f"{what}, Python opens it", opened, (version, plaintext))
            wrong = {"ciphertext": sealed, **said(altered(context or b"no"))}
            key.refuses(f"{label}, rewrap with another context", "ciphertext", "rewrap", **wrong)


def oaep(name):
    function = HASHES.get(name) or hashes.SHA1()
    return padding.OAEP(padding.MGF1(function), function, None)


def check_rsa_encryption():
    for key_type in ["rsa-2048", "rsa-3072", "rsa-4096"]:
        key = exportable(key_type)
        public, private = key.public(), key.private()
        longest = public.key_size // 8 - 66
        for plaintext in [b"\0", b"hunter2", os.urandom(longest)]:
            what = f"{key_type}: {len(plaintext)} bytes"
            ours = versioned(public.encrypt(plaintext, oaep("sha256")))
            equal(f"{what}: the server opens Python's", key.opens(ours), plaintext)
            version, theirs = parsed(key.seals(plaintext))
            opened = version, private.decrypt(theirs, oaep("sha256"))
            equal(f"{what}: Python opens the server's", opened, (1, plaintext))
        key.refuses("too long a plaintext", "plaintext", "encrypt", plaintext=b64(bytes(longest + 1)))
        for name in ["sha1", "sha384"]:
            ours = versioned(public.encrypt(b"hunter2", oaep(name)))
            key.refuses(f"opening OAEP with {name}", "ciphertext", "decrypt", ciphertext=ours)


def check_hmacs():
    types = [("hmac", {}, "sha256"), ("hmac-sha256", {}, "sha256"), ("hmac-sha512", {}, "sha512")]
    types += [("hmac", {"hashFunction": name}, name) for name in HASHES]
    for key_type, fields, name in types:
        key, label = Key(key_type, exportAllowed=True, **fields), name_of(key_type, fields)
        material = key.material()
        equal(f"{label}: length of the key", len(material), hashlib.new(name).digest_size)
        for message in MESSAGES:
            what, data = f"{label}: {len(message)} bytes", b64(message)
            tag, theirs = hmac.digest(material, message, name), key.do("hmac", input=data)["hmac"]
            equal(f"{what}, the server's tag is Python's", parsed(theirs), (1, tag))
            texts = [versioned(tag), b64(tag), versioned(altered(tag))]
            verdicts = [key.do("verify-hmac", input=data, hmac=text)["valid"] for text in texts]
            equal(f"{what}, the server verifies, not an altered one", verdicts, [True, True, False])


# Bring your own key.


def fresh(key_type):
    """Material made by Python."""
    if key_type in CIPHERS:
        return os.urandom(KEY_BYTES[key_type])
    if key_type in CURVES:
        private = ec.generate_private_key(CURVES[key_type])
    elif key_type == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(65537, int(key_type.removeprefix("rsa-")))
    form = encodings.PrivateFormat.PKCS8
    return private.private_bytes(encodings.Encoding.DER, form, encodings.NoEncryption())


@functools.cache
def wrapping_key():
    answer = call("GET", f"{KMS}/wrapping-key")
    key = encodings.load_pem_public_key(answer["publicKey"].encode())
    equal("wrapping key: size", key.key_size, 4096)
    equal("wrapping key: algorithm", answer["algorithm"], "RSA_AES_KEY_WRAP_SHA_256")
    return key


def plain(material, name="sha256"):
    return wrapping_key().encrypt(material, oaep(name))


def wrapped(material, name="sha256", kek_bytes=32):
    kek = os.urandom(kek_bytes)
    return plain(kek, name) + aes_key_wrap_with_padding(kek, material)


def check_imports():
    for key_type in [*KEY_BYTES, *CURVES, "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"]:
        ways = [plain, wrapped] if key_type in CIPHERS else [wrapped]
        names = [None] if key_type in ("rsa-3072", "rsa-4096") else [None, *HASHES]
        for way, name in product(ways, names):
            label = f"{key_type}: imported, {way.__name__}, {name or 'default hash'}"
            material, fields = fresh(key_type), {"hashFunction": name} if name else {}
            blob = b64(way(material, name or "sha256"))
            key = Key(key_type, exportAllowed=True, importKeyMaterial=blob, **fields)
            equal(f"{label}, said", (key.made.get("imported"), key.made["latestVersion"]), (True, 1))
            equal(f"{label}, exported", key.material() == material, True)
            if key_type in CIPHERS:
                opened = python_opens(key, material, key.seals(b"hunter2"))
                equal(f"{label}, Python opens what it seals", opened, (1, b"hunter2"))
                continue
            public = encodings.load_der_private_key(material, None).public_key()
            equal(f"{label}, the public key", key.public() == public, True)
            verdict = python_verifies(public, key_type, {}, b"message", key.signs({}, b"message")[1])
            equal(f"{label}, Python verifies what it signs", verdict, True)


def check_refused_imports():
    of = {key_type: fresh(key_type) for key_type in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"]}
    raw, aes = os.urandom(32), "aes256-gcm96"
    good = wrapped(raw)
    refusals = [  # key type, what is wrong, the blob
        *((key_type, "raw bytes", wrapped(raw)) for key_type in of),
        *((key_type, "PKCS#8 without its end", wrapped(of[key_type][:-1])) for key_type in of),
        ("ecdsa-p256", "ecdsa-p384", wrapped(of["ecdsa-p384"])),
        ("ecdsa-p384", "ecdsa-p256", wrapped(of["ecdsa-p256"])),
        ("ecdsa-p521", "ecdsa-p384", wrapped(of["ecdsa-p384"])),
        ("ecdsa-p256", "ed25519", wrapped(of["ed25519"])),
        ("ecdsa-p256", "rsa-2048", wrapped(of["rsa-2048"])),
        ("ed25519", "ecdsa-p256", wrapped(of["ecdsa-p256"])),
        ("rsa-2048", "ecdsa-p256", wrapped(of["ecdsa-p256"])),
        ("rsa-3072", "rsa-2048", wrapped(of["rsa-2048"])),
        (aes, "ed25519", wrapped(of["ed25519"])),
        ("ed25519", "PKCS#8 without KWP", plain(of["ed25519"])),
        (aes, "plain, altered", altered(plain(raw), 100)),
        (aes, "wrapped, altered OAEP", altered(good, 100)),
        (aes, "wrapped, altered KWP", altered(good)),
        (aes, "plain, cut", plain(raw)[:-1]),
        (aes, "wrapped, cut", good[:-8]),
        (aes, "KWP with AES-128", wrapped(raw, kek_bytes=16)),
    ]
    for key_type, length, way in product(KEY_BYTES, [15, 16, 24, 31, 32, 33], [plain, wrapped]):
        if length != KEY_BYTES[key_type]:
            refusals.append((key_type, f"{length} bytes, {way.__name__}", way(os.urandom(length))))
    requests = [(f"{key_type}: import of {label}", key_type, blob, {}) for key_type, label, blob in refusals]
    for way, made, stated in product([plain, wrapped], ["sha1", *HASHES], [None, *HASHES]):
        if made != (stated or "sha256"):
            label = f"{aes}: import of a blob with {made}, {way.__name__}, stated {stated}"
            requests.append((label, aes, way(raw, made), {"hashFunction": stated} if stated else {}))
    for label, key_type, blob, fields in requests:
        body = new_key(key_type, {"importKeyMaterial": b64(blob), **fields})
        refused(label, "wrapped for this region's wrapping key", f"{KMS}/keys", body)
    for key_type in ["hmac", "hmac-sha256", "hmac-sha512"]:
        blob = wrapped(os.urandom(64 if key_type == "hmac-sha512" else 32))
        body = new_key(key_type, {"importKeyMaterial": b64(blob)})
        refused(f"{key_type}: import", "cannot be imported", f"{KMS}/keys", body)
    body = new_key(aes, {"importKeyMaterial": b64(plain(raw, "sha1")), "hashFunction": "sha1"})
    refused(f"{aes}: import with SHA-1, stated sha1", "hashFunction", f"{KMS}/keys", body)


def check_rotated_imports():
    for key_type, allowed in product([*CIPHERS, *CURVES, "ed25519", "rsa-2048"], [None, False, True]):
        fields = {} if allowed is None else {"allowRotation": allowed}
        key = Key(key_type, importKeyMaterial=b64(wrapped(fresh(key_type))), **fields)
        if not allowed:
            key.refuses(f"export with allowRotation {allowed}", "exportAllowed", "export")
            key.refuses(f"rotation with allowRotation {allowed}", "allowRotation", "rotate")
            continue
        seals = key_type in CIPHERS or key_type == "rsa-2048"
        first = key.seals(b"hunter2") if seals else key.signs({}, b"message")[1]
        equal(f"{key_type}: imported key rotated", key.do("rotate")["latestVersion"], 2)
        if seals:
            sealed = [(parsed(text)[0], key.opens(text)) for text in (first, key.seals(b"hunter2"))]
            label = f"{key_type}: opens what versions 1 and 2 of an imported key sealed"
            equal(label, sealed, [(1, b"hunter2"), (2, b"hunter2")])
        else:
            verdicts = [key.verifies({}, b"message", first, version) for version in (1, 2)]
            equal(f"{key_type}: version 1 of an imported key signed, not version 2", verdicts, [True, False])


for name, check in list(globals().items()):
    if name.startswith("check_"):
        check()
print(f"interoperability: {passed} passed, 0 failed")
