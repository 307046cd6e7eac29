//! Rows of quotas: counters that change with what they count, and requests for more.

use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::quota::{Decision, Increase, Quota, Usage};
use Value::{Int, Text};

/// What a slot may count before it looks at the others again.
const GRANTED_AT_ONCE: i64 = 256;

impl Tx {
    /// Counts `count` more, or fewer below zero. Denied when that is more than there may be; what goes away is
    /// never refused.
    ///
    /// INVARIANT: called by the methods of the store that insert and delete what is counted, and by nothing else.
    pub(super) async fn use_quota(&mut self, quota: Quota, count: i64) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(quota.name()), Int(count), Int(self.slot())];
        if self.takes_from_grant(quota, count) {
            return self.change_one(sql::USE_GRANTED, &values).await;
        }
        let read = |row: &Columns<'_>| Ok((row.int()?, row.int()?, row.int()?, row.int()?));
        let (used, granted, granted_for, most) = self
            .row(sql::USE_QUOTA, &values, read)
            .await?
            .ok_or_else(|| Error::bug("an organisation without its quotas"))?;
        if count <= 0 || most == 0 || (used <= granted && granted_for == most) {
            self.remember_grant(quota, if most == 0 { i64::MAX } else { granted - used });
            return Ok(());
        }
        // Seldom: whoever looks at all slots is in the way of all that count.
        let (slot, most_of_all) = (Int(self.slot()), Int(most));
        let [organisation, name, ..] = values;
        let read = |row: &Columns<'_>| Ok((row.int()?, row.int()?));
        let sums = self.row(sql::SUM_QUOTA, &[organisation, name, slot, most_of_all], read).await?;
        let (used, bound) = sums.unwrap_or_default();
        if bound + GRANTED_AT_ONCE <= most {
            let granted = [organisation, name, slot, Int(GRANTED_AT_ONCE), most_of_all];
            return self.change_one(sql::GRANT_QUOTA, &granted).await;
        }
        // The rest is counted one by one.
        self.change_any(sql::TAKE_QUOTA_BACK, &[organisation, name]).await?;
        quota.check(used, most)
    }

    /// Tells early, before slow work, that there may be no more. The counter has the last word.
    pub async fn check_quota(&mut self, quota: Quota) -> Result<()> {
        let usages = self.list_quotas().await?;
        let usage = usages.iter().find(|usage| usage.quota == quota);
        usage.map_or(Ok(()), |usage| quota.check(usage.used + 1, usage.most))
    }

    /// The counters of a new organisation.
    pub(super) async fn insert_quotas(&mut self, now: i64) -> Result<()> {
        let organisation = self.organisation();
        for quota in Quota::ALL {
            let values = [Text(&organisation), Text(quota.name()), Int(now)];
            self.change_one(sql::INSERT_QUOTA, &values).await?;
        }
        Ok(())
    }

    /// What organisations without a maximum of their own may have; 0 is no bound.
    pub async fn set_quota_default(&mut self, quota: Quota, most: i64) -> Result<()> {
        self.execute(sql::SET_QUOTA_DEFAULT, &[Text(quota.name()), Int(most)]).await.map(|_| ())
    }

    pub async fn list_quotas(&mut self) -> Result<Vec<Usage>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_QUOTAS, &[Text(&organisation)], |row| {
            Ok(Usage {
                quota: row.word(Quota::from_name)?,
                used: row.int()?,
                most: row.int()?,
                created_at: row.int()?,
            })
        })
        .await
    }

    /// How much there is of all organisations.
    pub async fn count_all(&mut self) -> Result<Vec<(Quota, i64)>> {
        self.rows(sql::COUNT_ALL, &[], |row| Ok((row.word(Quota::from_name)?, row.int()?))).await
    }

    /// Sets the maximum; `None` takes the configuration's.
    pub async fn set_quota(&mut self, quota: Quota, most: Option<i64>) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(quota.name()), Value::int_or_null(most)];
        self.change_one(sql::SET_QUOTA, &values).await
    }

    pub async fn insert_increase(&mut self, new: &Increase) -> Result<()> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(&new.id),
            Text(new.quota.name()),
            Int(new.new_most),
            Text(&new.reason),
            Int(new.created_at),
        ];
        self.change_one(sql::INSERT_INCREASE, &values).await
    }

    /// The last hundred, newest first.
    pub async fn list_increases(&mut self) -> Result<Vec<Increase>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_INCREASES, &[Text(&organisation)], read_increase).await
    }

    /// Those of every organisation with this decision, or with any; newest first.
    pub async fn list_all_increases(
        &mut self,
        decision: Option<Decision>,
    ) -> Result<Vec<Increase>> {
        let word = decision.map_or("", Decision::word);
        self.rows(sql::LIST_ALL_INCREASES, &[Text(word)], read_increase).await
    }

    /// In whichever organisation.
    pub async fn find_increase(&mut self, id: &str) -> Result<Option<Increase>> {
        self.row(sql::FIND_INCREASE, &[Text(id)], read_increase).await
    }

    /// A conflict when it is decided already.
    pub async fn decide_increase(
        &mut self,
        id: &str,
        decision: Decision,
        reason: &str,
        now: i64,
    ) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(id), Text(decision.word()), Text(reason), Int(now)];
        match self.execute(sql::DECIDE_INCREASE, &values).await? {
            1 => Ok(()),
            _ => Err(Error::Conflict("the request is decided already".to_owned())),
        }
    }
}

fn read_increase(row: &Columns<'_>) -> Result<Increase> {
    Ok(Increase {
        organisation: row.text()?,
        id: row.text()?,
        quota: row.word(Quota::from_name)?,
        new_most: row.int()?,
        reason: row.text()?,
        decision: row.word(Decision::from_word)?,
        decision_reason: row.text()?,
        created_at: row.int()?,
        updated_at: row.int()?,
    })
}
