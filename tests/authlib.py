"""Our token endpoint with another implementation of OAuth and JOSE, `authlib` with `joserfc`: it gets tokens, calls
with them, verifies them by our published key, and makes tokens that ours takes in exchange. tests/authlib.sh runs it
with a server.
"""

import os
import secrets
import sys
import time

del sys.path[0]  # this file has the name of what it imports
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the server listens on loopback

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

ENDPOINT, ORGANISATION = os.environ["COFFER_ENDPOINT"], os.environ["COFFER_ORGANISATION"]
REGION, TOKEN_URL = os.environ["COFFER_REGION"], ENDPOINT + "/oidc/token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
RUN = secrets.token_hex(4)
ISSUER = f"https://issuer-{RUN}.example.com"
NAMED = {"X-Organisation-Identity": ORGANISATION}
passed = 0


def check(label, good, found=None):
    global passed
    if not good:
        sys.exit(f"FAILED {label}: {str(found)[:1000]}")
    passed += 1
    print(f"ok {label}", flush=True)


def call(method, path, body=None, status=201):
    owner = {**NAMED, "Authorization": f"Bearer {os.environ['COFFER_TOKEN']}"}
    answer = plain.request(method, ENDPOINT + path, json=body, headers=owner, timeout=60)
    if answer.status_code != status:
        sys.exit(f"FAILED {method} {path}: {answer.status_code} {answer.text}")
    return answer.json() if answer.content else None


def session(key, secret, **more):
    made = OAuth2Session(key, secret, token_endpoint=TOKEN_URL, **more)
    made.trust_env = False
    return made


plain = requests.Session()
plain.trust_env = False

account = call("POST", "/v1/service-accounts", {"name": f"{RUN} authlib"})["identity"]
bind = {"name": "b", "serviceAccountIdentity": account}
call("POST", "/v1/iam/roles/secrets-full-access/bindings", bind)
credentials = f"/v1/service-accounts/{account}/access-credentials"
made = call("POST", credentials, {"name": "authlib"})
key, secret = made["accessKey"], made["accessSecret"]
path = f"/authlib/{RUN}"
secrets_url = f"{ENDPOINT}/v1/secrets/{REGION}"
create = {"path": path, "kmsKeyIdentity": "default", "secretString": "aHVudGVyMg=="}

metadata = plain.get(ENDPOINT + "/.well-known/openid-configuration", timeout=60).json()
check("the issuer is where the server listens", metadata["issuer"] == ENDPOINT, metadata)
check("its token endpoint is ours", metadata["token_endpoint"] == TOKEN_URL, metadata)

for method in metadata["token_endpoint_auth_methods_supported"]:
    client = session(key, secret, token_endpoint_auth_method=method)
    token = client.fetch_token(TOKEN_URL, grant_type="client_credentials")
    check(f"{method} gets a token", token["token_type"] == "Bearer" and token["expires_in"] == 3600, token)
    made = client.post(f"{secrets_url}/secrets", json={**create, "path": f"{path}/{method}"}, headers=NAMED, timeout=60)
    check(f"{method}: its token creates a secret", made.status_code == 201, made.text)
    value = client.post(f"{secrets_url}/secret{path}/{method}/value", headers=NAMED, timeout=60)
    check(f"{method}: its token reveals it", value.json().get("secretString") == "aHVudGVyMg==", value.text)

keys = KeySet.import_key_set(plain.get(metadata["jwks_uri"], timeout=60).json())
says = jwt.decode(token["access_token"], keys, algorithms=["EdDSA"])
claims = says.claims
right = claims["iss"] == claims["aud"] == ENDPOINT and claims["sub"] == account and claims["exp"] > time.time()
check("the token is verified by the published key", right and says.header["typ"] == "at+jwt", claims)

client = session(key, secret, scope="api:read")
token = client.fetch_token(TOKEN_URL, grant_type="client_credentials")
check("a scope narrows the token", token["scope"] == "api:read", token)
refused = client.post(f"{secrets_url}/secrets", json=create, headers=NAMED, timeout=60)
check("the narrow token creates nothing", refused.status_code == 403, refused.text)

for label, code, client, fields in [
    ("a wrong secret", "invalid_client", session(key, "tc_sk_" + "x" * 40), {}),
    ("a wrong key", "invalid_client", session("tc_ak_" + "x" * 20, secret), {}),
    ("an unknown scope", "invalid_scope", session(key, secret, scope="admin"), {}),
    ("another grant", "unsupported_grant_type", session(key, secret), {"grant_type": "password"}),
]:
    try:
        client.fetch_token(TOKEN_URL, **{"grant_type": "client_credentials", **fields})
        check(f"{label} gets nothing", False)
    except OAuthError as error:
        check(f"{label} gets {code}", error.error == code, error)

signers = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
    "PS384": RSAKey.generate_key(3072, {"kid": "pss", "use": "sig"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "p256", "use": "sig"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "p384", "use": "sig"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed", "use": "sig"}),
}
published = {"keys": [signer.as_dict(private=False) for signer in signers.values()]}
provider = {"name": "authlib", "providerIssuer": ISSUER, "localJwks": published}
provider = call("POST", "/v1/federated-identity-providers", provider)["identity"]
identity = {
    "name": "main",
    "serviceAccountIdentity": account,
    "providerIdentity": provider,
    "providerSubject": "repo:acme/*:ref:refs/heads/main",
    "trustedAudiences": [ENDPOINT],
    "conditions": {"environment": "production"},
}
identity = call("POST", "/v1/federated-identities", identity)["identity"]


def subject_token(algorithm, **more):
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "aud": ENDPOINT, "iat": now,
              "nbf": now, "exp": now + 300, "environment": "production", **more}
    signer = signers[algorithm]
    return jwt.encode({"alg": algorithm, "kid": signer.kid}, claims, signer, algorithms=[algorithm])


def exchange(token):
    fields = {"grant_type": EXCHANGE, "subject_token": token, "organisation_id": ORGANISATION,
              "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
              "service_account_id": account, "access_token_lifetime": "2h"}
    return plain.post(TOKEN_URL, data=fields, timeout=60)


for algorithm in signers:
    granted = exchange(subject_token(algorithm))
    good = granted.status_code == 200 and granted.json()["expires_in"] == 7200
    check(f"a token signed by {algorithm} is exchanged", good, granted.text)
    bearer = {**NAMED, "Authorization": f"Bearer {granted.json()['access_token']}"}
    value = plain.get(f"{secrets_url}/secrets?path={path}/", headers=bearer, timeout=60)
    check(f"{algorithm}: what was given for it lists secrets", value.status_code == 200, value.text)

for label, more in [
    ("another subject", {"sub": "repo:acme/app:ref:refs/heads/dev"}),
    ("another audience", {"aud": "https://example.com"}),
    ("another environment", {"environment": "test"}),
    ("an expired token", {"exp": int(time.time()) - 61}),
]:
    refused = exchange(subject_token("ES256", **more))
    check(f"{label} is refused", refused.json().get("error") == "invalid_grant", refused.text)

call("PUT", f"/v1/federated-identities/{identity}", {"status": "inactive"}, 200)
value = plain.get(f"{secrets_url}/secrets?path={path}/", headers=bearer, timeout=60)
check("an inactive identity ends its tokens", value.status_code == 401, value.text)
print(f"{passed} checks passed")
