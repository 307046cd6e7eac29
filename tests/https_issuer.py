"""An issuer over https, as every public one is: its certificate is checked, and its keys are fetched through the guard
for outgoing calls. tests/authlib.sh runs it, twice: `https_issuer.py certificate` makes an authority and two
certificates in the folder it stands in; then, with a server that trusts the authority, it is the issuer.
"""

import datetime
import http.server
import json
import os
import ssl
import sys
import threading
import time

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import RSAKey

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def certificate(name, issuer=None):
    """A key and a certificate for a name; without an issuer it is the authority's own. Written as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer, signed_by = issuer or (key, subject)
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(signed_by).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, False)
            .add_extension(x509.BasicConstraints(issuer is None, None), True).sign(signer, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with open(f"{name}.pem", "wb") as file:
        file.write(made.public_bytes(pem) + private)
    return key, subject


if sys.argv[1:] == ["certificate"]:
    authority = certificate("authority")
    certificate("localhost", authority)
    os.rename("localhost.pem", "trusted.pem")
    certificate("localhost")
    os.rename("localhost.pem", "stranger.pem")
    sys.exit()

ENDPOINT = os.environ["COFFER_ENDPOINT"]
plain = requests.Session()
plain.trust_env = False
passed = 0


def check(label, good, found):
    global passed
    if not good:
        sys.exit(f"FAILED {label}: {str(found)[:1000]}")
    passed += 1
    print(f"ok {label}", flush=True)


def call(path, body):
    headers = {"Authorization": f"Bearer {os.environ['COFFER_TOKEN']}",
               "X-Organisation-Identity": os.environ["COFFER_ORGANISATION"]}
    answer = plain.post(ENDPOINT + path, json=body, headers=headers, timeout=60)
    if answer.status_code != 201:
        sys.exit(f"FAILED {path}: {answer.status_code} {answer.text}")
    return answer.json()["identity"]


def serve(pem, signer):
    """An issuer with this certificate: its URL, and the paths that were asked for."""
    asked = []

    class Issuer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            url = f"https://localhost:{self.server.server_port}"
            described = {"issuer": url, "jwks_uri": f"{url}/keys"}
            body = {"/keys": {"keys": [signer.as_dict(private=False)]}}.get(self.path, described)
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    server.handle_error = lambda *_: None  # whoever does not trust it leaves in the middle
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"https://localhost:{server.server_port}", asked


account = call("/v1/service-accounts", {"name": "https"})
signer = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
for pem, expected in [("trusted.pem", 200), ("stranger.pem", 400)]:
    url, asked = serve(pem, signer)
    provider = call("/v1/federated-identity-providers", {"name": pem, "providerIssuer": url})
    call("/v1/federated-identities", {"name": pem, "serviceAccountIdentity": account,
                                      "providerIdentity": provider, "providerSubject": "s"})
    claims = {"iss": url, "sub": "s", "exp": int(time.time()) + 300}
    token = jwt.encode({"alg": "RS256", "kid": "rsa"}, claims, signer)
    fields = {"grant_type": EXCHANGE, "subject_token": token, "service_account_id": account,
              "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
              "organisation_id": os.environ["COFFER_ORGANISATION"]}
    granted = plain.post(ENDPOINT + "/oidc/token", data=fields, timeout=60)
    check(f"an issuer with {pem}: {expected}", granted.status_code == expected, granted.text)
    wanted = ["/.well-known/openid-configuration", "/keys"] if expected == 200 else []
    check(f"an issuer with {pem} was asked {len(wanted)} times", asked == wanted, asked)
print(f"{passed} checks passed")
