//! `cofferd dev`: a whole Coffer on one machine, ready at the first start, the same at the next.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use coffer_api::CreateKeyRequest;
use coffer_crypto::token;
use zeroize::Zeroizing;

use crate::app::App;
use crate::custody::{self, WhenThere};
use crate::error::Error;
use crate::gate;
use crate::kms;
use crate::model::caller::{Arrival, Call, Claim, Shown, Standing};
use crate::model::precondition::Precondition;
use crate::platform::{self, Founding};

const ORGANISATION: &str = "dev";
const REGION: &str = "nl-01";
const KEY: &str = "default";

/// Makes what is missing and writes `dev.env`. The next steps are in [`welcome`].
pub async fn prepare(app: &Arc<App>, folder: &Path, listening: SocketAddr) -> Result<()> {
    let file = folder.join("dev.env");
    let organisation =
        gate::inspect(app, async |tx| tx.find_organisation(ORGANISATION).await).await?;
    let (organisation, token) = match organisation {
        Some(organisation) => {
            let token = match known_token(app, &file, &organisation.id).await? {
                Some(token) => token,
                // The file is gone or its token revoked: only a new one can help.
                None => platform::mint_owner_token(app, &organisation.id).await?,
            };
            (organisation.id, token)
        }
        None => {
            let founding = Founding {
                organisation: ORGANISATION.to_owned(),
                owner_email: "owner@dev.invalid".to_owned(),
            };
            let founded = platform::found(app, &founding).await?;
            (founded.organisation, founded.token)
        }
    };
    let key = default_key(app, &token, &organisation).await?;
    let text = Zeroizing::new(format!(
        "export COFFER_ENDPOINT=http://{listening}\nexport COFFER_TOKEN={}\n\
         export COFFER_ORGANISATION={ORGANISATION}\nexport COFFER_REGION={REGION}\n\
         export COFFER_KMS_KEY={key}\n",
        token.as_str(),
    ));
    custody::write_private(&file, text.as_bytes(), WhenThere::Replace)
}

/// The token of an earlier `dev.env`, when it still works.
async fn known_token(
    app: &App,
    file: &Path,
    organisation: &str,
) -> Result<Option<Zeroizing<String>>> {
    let Ok(text) = std::fs::read_to_string(file).map(Zeroizing::new) else { return Ok(None) };
    let token = text.lines().find_map(|line| line.strip_prefix("export COFFER_TOKEN="));
    let Some(token) = token.map(|token| Zeroizing::new(token.to_owned())) else { return Ok(None) };
    let caller = app.directory.read_caller(&claim(&token, organisation), app.clock.now()).await;
    Ok(caller.is_ok_and(|c| matches!(c.standing, Standing::Member(_))).then_some(token))
}

/// The identity of the key named `default`, made when there is none.
async fn default_key(app: &Arc<App>, token: &str, organisation: &str) -> Result<String> {
    let (claim, arrival) = (claim(token, organisation), Arrival::system(app.clock.now()));
    let caller = app.directory.read_caller(&claim, app.clock.now()).await?;
    let call = Call { claim, caller, arrival, flaw: None, project: None, idempotency: None };
    let named = kms::Named { region: REGION.to_owned(), key: KEY.to_owned() };
    // By slug, so a key of that name which is pending deletion is not found.
    match kms::manage::read(app, &call, named, Precondition::default()).await {
        Ok(view) => Ok(view.key.id),
        Err(Error::NotFound { .. }) => {
            let body = CreateKeyRequest { name: KEY.to_owned(), ..Default::default() };
            Ok(kms::manage::create(app, &call, REGION.to_owned(), Ok(body)).await?.key.id)
        }
        Err(error) => Err(error.into()),
    }
}

fn claim(token: &str, organisation: &str) -> Claim {
    Claim { token: Shown::Hash(token::hash(token)), organisation: organisation.to_owned() }
}

/// What a newcomer reads first. Names the file with the token, never the token.
pub fn welcome(folder: &Path, listening: SocketAddr) -> String {
    let headers = r#"-H "Authorization: Bearer $COFFER_TOKEN" -H "X-Organisation-Identity: $COFFER_ORGANISATION""#;
    let json = r#"-H "Content-Type: application/json""#;
    let url = "$COFFER_ENDPOINT/v1/secrets/$COFFER_REGION";
    format!(
        r#"Coffer listens on http://{listening}. In another terminal:

  . {folder}/dev.env

  # create a secret ("hunter2" in base64)
  curl {headers} {json} "{url}/secrets" -d '{{"path":"/app/dev/db/password","kmsKeyIdentity":"'$COFFER_KMS_KEY'","secretString":"aHVudGVyMg=="}}'

  # reveal it
  curl {headers} -X POST "{url}/secret/app/dev/db/password/value"

  # add a version
  curl {headers} {json} "{url}/secret/app/dev/db/password/versions" -d '{{"generateSecret":{{"byteLength":32}}}}'

  # browse
  curl {headers} "{url}/secrets?path=/app/"

Stop with Ctrl-C; the next start continues with the same data.
"#,
        folder = folder.display(),
    )
}
