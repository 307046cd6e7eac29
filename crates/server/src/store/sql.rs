//! Every statement, in one place and in one text for every database.
//!
//! `$n` is bound by its number. Times are microseconds. Tenants' statements take the organisation as `$1`.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub const $name: &str = $sql;)*
        /// All of them by name, for the test that runs each on every database.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name),)*];
    };
}

macro_rules! key_columns {
    () => {
        "k.key_id, k.project_id, k.name, k.slug, k.description, k.labels, k.annotations, k.key_type,
         k.digest, k.status, k.export_allowed, k.imported, k.allow_rotation, k.rotation_enabled, k.rotation_period_days, k.latest_version,
         k.min_decryption_version, k.deletion_scheduled_at, k.created_at, k.updated_at, k.object_version"
    };
}

macro_rules! secret_columns {
    () => {
        "s.secret_id, s.path, s.description, s.labels, s.annotations, s.access_policy, s.policy_names, s.current_version,
         s.latest_version, s.object_version, s.created_at, s.updated_at"
    };
}

/// When a secret `s` was last accessed.
macro_rules! last_access {
    () => {
        "(SELECT MAX(a.accessed_at) FROM last_accesses a
            WHERE a.organisation_id = s.organisation_id AND a.secret_id = s.secret_id)"
    };
}

macro_rules! organisation_columns {
    () => {
        "o.organisation_id, o.slug, o.name, o.description, o.labels, o.annotations, o.secrets_gate,
         o.kms_gate, o.projects_gate, o.created_at, o.updated_at, o.object_version"
    };
}

macro_rules! team_columns {
    () => {
        "t.team_id, t.slug, t.name, t.description, t.labels, t.annotations, t.created_at, t.updated_at"
    };
}

macro_rules! user_columns {
    () => {
        "u.subject, u.name, u.email, u.created_at"
    };
}

macro_rules! member_columns {
    () => {
        concat!("m.member_id, m.role, m.created_at, ", user_columns!())
    };
}

/// A service account `a` with the user `u` who made it, if one did.
macro_rules! account_columns {
    () => {
        concat!(
            "a.account_id, a.slug, a.name, a.description, a.labels, a.annotations, a.created_at,
         a.updated_at, a.object_version, a.created_by, ",
            user_columns!()
        )
    };
}

macro_rules! project_columns {
    () => {
        "p.project_id, p.slug, p.name, p.description, p.labels, p.annotations, p.parent_id, p.created_at,
         p.updated_at, p.object_version"
    };
}

macro_rules! policy_columns {
    () => {
        "p.policy_id, p.project_id, p.slug, p.name, p.description, p.labels, p.annotations, p.system,
         p.replicate, p.conditionals, p.created_at, p.updated_at, p.object_version"
    };
}

/// A binding `b` with the user, team or service account that is bound.
macro_rules! holder_columns {
    () => {
        "b.binding_id, b.name, b.description, b.labels, b.annotations, b.scopes, b.created_at,
         u.subject, u.name, u.email, u.created_at, t.team_id, t.slug, t.name, t.created_at,
         a.account_id, a.slug, a.name, a.created_at"
    };
}

/// As [`holder_columns`], with what a binding of a policy has besides.
macro_rules! policy_holder_columns {
    () => {
        "b.policy_id, b.expires_at, b.updated_at, b.elevation_id, b.binding_id, b.name, b.description,
         b.labels, b.annotations, '[]', b.created_at,
         u.subject, u.name, u.email, u.created_at, t.team_id, t.slug, t.name, t.created_at,
         a.account_id, a.slug, a.name, a.created_at"
    };
}

macro_rules! holder_joins {
    () => {
        "LEFT JOIN users u ON b.principal_kind = 'user' AND u.subject = b.principal_id
         LEFT JOIN teams t ON b.principal_kind = 'team' AND t.organisation_id = $1
             AND t.team_id = b.principal_id
         LEFT JOIN service_accounts a ON b.principal_kind = 'service_account'
             AND a.organisation_id = $1 AND a.account_id = b.principal_id"
    };
}

/// `line`: the project $2 and all above it.
macro_rules! line_of_project {
    () => {
        "WITH RECURSIVE line (project_id) AS (
            SELECT CAST($2 AS TEXT)
            UNION
            SELECT o.parent_id FROM line JOIN projects o
                ON o.organisation_id = $1 AND o.project_id = line.project_id
            WHERE o.parent_id <> ''
        )"
    };
}

/// Policies `p` that hold in the project $2: its own, and those from above that are to.
macro_rules! holds_in_project {
    () => {
        "p.organisation_id = $1 AND (p.project_id = $2
            OR (p.replicate = 1 AND p.project_id IN (SELECT project_id FROM line)))"
    };
}

macro_rules! elevation_columns {
    () => {
        "e.elevation_id, e.project_id, e.policy_id, e.principal_kind, e.principal_id, e.reason, e.labels,
         e.annotations, e.status, e.expires_at, e.reviewed_by, e.review_note, e.created_at, e.updated_at"
    };
}

macro_rules! provider_columns {
    () => {
        concat!("p.provider_id, p.name, p.description, p.labels, p.annotations, p.issuer, p.jwks_uri, p.local_jwks,
         p.status, p.created_at, p.updated_at, p.object_version, p.generation, p.created_by, ", user_columns!())
    };
}

macro_rules! federation_columns {
    () => {
        concat!("f.identity_id, f.name, f.description, f.labels, f.annotations, f.account_id, f.provider_id,
         f.subject, f.audiences, f.audience_mode, f.scopes, f.conditions, f.status, f.created_at,
         f.updated_at, f.object_version, f.expires_at, f.last_used_at, f.generation, f.created_by, ", user_columns!())
    };
}

macro_rules! role_columns {
    () => {
        "r.role_id, r.slug, r.name, r.description, r.labels, r.annotations, r.system, r.created_at,
         r.updated_at, r.object_version"
    };
}

macro_rules! event_columns {
    () => {
        "organisation_id, at, duration, event_id, project_id, principal_kind, principal_id, action, resource_type,
        resource_id, outcome, reason, credential_id, credential_kind, client, user_agent, method, url_path, request_id,
        stream, number, link"
    };
}

/// Ends `h` of streams of records that no checkpoint tells.
macro_rules! moved_heads {
    () => {
        "FROM audit_heads h WHERE h.stream <> 0 AND NOT EXISTS (SELECT 1 FROM audit_checkpoint_heads c
            WHERE c.organisation_id = h.organisation_id AND c.stream = h.stream AND c.number = h.number)"
    };
}

/// Up to where a stream of head `h` is behind its sink's position `p` or its base `b`.
macro_rules! given_until {
    () => {
        "CASE WHEN p.number IS NOT NULL AND (b.number IS NULL OR b.number < p.number) THEN p.number
            ELSE COALESCE(b.number, 0) END"
    };
}

/// What a sink $1 has of streams of heads `h`: up to which record, and when the next one was written.
macro_rules! sink_columns {
    () => {
        concat!(
            "h.organisation_id, h.stream, h.number, ",
            given_until!(),
            ", COALESCE((SELECT e.at FROM audit_events e WHERE e.organisation_id = h.organisation_id
                AND e.stream = h.stream AND e.number = ",
            given_until!(),
            " + 1), h.moved_at)"
        )
    };
}

/// Position and base of a head `h`. What more is asked of them follows from what is asked of the head, which not every
/// planner sees.
macro_rules! sink_joins {
    ($position:expr, $base:expr) => {
        concat!(
            "LEFT JOIN audit_sink_positions p
            ON p.organisation_id = h.organisation_id AND p.stream = h.stream AND p.sink = $1",
            $position,
            " LEFT JOIN audit_bases b ON b.organisation_id = h.organisation_id AND b.stream = h.stream",
            $base
        )
    };
}

macro_rules! audit_filter {
    () => {
        "FROM audit_events e WHERE e.organisation_id = $1
         AND ($2 = '' OR e.project_id = $2)
         AND ($3 = '' OR REPLACE($3, ',' || e.action || ',', '') <> $3)
         AND ($4 = '' OR REPLACE($4, ',' || e.resource_type || ',', '') <> $4)
         AND ($5 = '' OR e.resource_id = $5)
         AND ($6 = '' OR (e.principal_kind = 'user' AND e.principal_id = $6))
         AND ($7 = '' OR (e.principal_kind = 'service_account' AND e.principal_id = $7))
         AND ($8 = '' OR REPLACE($8, ',' || e.outcome || ',', '') <> $8)
         AND ($9 = 1 OR e.principal_kind <> 'system')
         AND ($10 = '' OR REPLACE(LOWER(e.action || ' ' || e.resource_id || ' ' || e.principal_id || ' '
             || e.reason || ' ' || e.url_path), $10, '')
             <> LOWER(e.action || ' ' || e.resource_id || ' ' || e.principal_id || ' ' || e.reason
             || ' ' || e.url_path))"
    };
}

statements! {
    // Organisations, regions, projects.
    INSERT_ORGANISATION = "INSERT INTO organisations (organisation_id, slug, name, description, labels,
        annotations, secrets_gate, kms_gate, projects_gate, created_at, updated_at, object_version)
        VALUES ($1, $2, $3, '', '{}', '{}', 1, 1, 1, $4, $4, 1) ON CONFLICT DO NOTHING";
    SET_GATES = "UPDATE organisations SET secrets_gate = $2, kms_gate = $3, projects_gate = $4,
        updated_at = $5, object_version = object_version + 1 WHERE organisation_id = $1";
    FIND_ORGANISATION = concat!("SELECT ", organisation_columns!(), " FROM organisations o
        WHERE o.organisation_id = $1 OR o.slug = $1 ORDER BY o.organisation_id = $1 DESC LIMIT 1");
    LIST_ORGANISATIONS = concat!("SELECT ", organisation_columns!(), " FROM organisations o
        ORDER BY o.organisation_id");
    COUNT_ORGANISATIONS = "SELECT COUNT(*) FROM organisations";
    /// Administrators have the last word on KMS.
    UPSERT_REGION = "INSERT INTO regions (region_id, slug, name, description, kms, kms_configured, configured,
        created_at, updated_at, object_version) VALUES ($1, $2, $3, '', $4, $4, 1, $5, $5, 1)
        ON CONFLICT (slug) DO UPDATE SET name = $3, kms = COALESCE(regions.kms_switch, $4),
        kms_configured = $4, configured = 1, updated_at = $5,
        object_version = regions.object_version + 1
        WHERE regions.name <> $3 OR regions.kms_configured <> $4 OR regions.configured <> 1
        OR regions.kms <> COALESCE(regions.kms_switch, $4)";
    RETIRE_REGION = "UPDATE regions SET kms = 0, configured = 0, updated_at = $2,
        object_version = object_version + 1 WHERE slug = $1 AND configured <> 0";
    SWITCH_REGION = "UPDATE regions SET kms_switch = $2, kms = COALESCE($2, kms_configured), updated_at = $3,
        object_version = object_version + 1 WHERE region_id = $1 AND configured = 1";
    LIST_REGION_SWITCHES = "SELECT region_id, configured, kms_configured, kms_switch FROM regions
        ORDER BY slug";
    LIST_REGIONS = "SELECT region_id, slug, name, description, kms, created_at, updated_at, object_version
        FROM regions ORDER BY slug";
    // People.
    INSERT_USER = "INSERT INTO users (subject, name, email, created_at) VALUES ($1, $2, $3, $4)";
    FIND_USER = "SELECT subject, name, email, created_at FROM users WHERE subject = $1";
    INSERT_MEMBER = "INSERT INTO members (organisation_id, member_id, subject, role, created_at)
        VALUES ($1, $2, $3, $4, $5)";
    DELETE_MEMBER = "DELETE FROM members WHERE organisation_id = $1 AND subject = $2";
    FIND_MEMBER = concat!("SELECT ", member_columns!(), " FROM members m
        JOIN users u ON u.subject = m.subject WHERE m.organisation_id = $1 AND m.member_id = $2");
    LIST_MEMBERS = concat!("SELECT ", member_columns!(), " FROM members m
        JOIN users u ON u.subject = m.subject WHERE m.organisation_id = $1 ORDER BY m.member_id");
    SET_MEMBER_ROLE = "UPDATE members SET role = $3 WHERE organisation_id = $1 AND member_id = $2";
    COUNT_OWNERS = "SELECT COUNT(*) FROM members WHERE organisation_id = $1 AND role = 'OWNER'";
    FIND_MEMBER_ROLE = "SELECT role FROM members WHERE organisation_id = $1 AND subject = $2";
    FIND_OWNER = "SELECT subject FROM members WHERE organisation_id = $1 AND role = 'OWNER'
        ORDER BY member_id LIMIT 1";
    LIST_MEMBERSHIPS = concat!("SELECT m.member_id, m.role, m.created_at, ", organisation_columns!(),
        " FROM members m JOIN organisations o ON o.organisation_id = m.organisation_id
        WHERE m.subject = $1 ORDER BY m.organisation_id");
    INSERT_TEAM = "INSERT INTO teams (organisation_id, team_id, slug, name, description, labels,
        annotations, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
        ON CONFLICT DO NOTHING";
    FIND_TEAM = concat!("SELECT ", team_columns!(), " FROM teams t WHERE t.organisation_id = $1
        AND (t.team_id = $2 OR t.slug = $2) ORDER BY t.team_id = $2 DESC LIMIT 1");
    LIST_TEAMS = concat!("SELECT ", team_columns!(), " FROM teams t WHERE t.organisation_id = $1
        ORDER BY t.team_id");
    SET_TEAM = "UPDATE teams SET name = $3, description = $4, labels = $5, annotations = $6,
        updated_at = $7 WHERE organisation_id = $1 AND team_id = $2";
    DELETE_TEAM = "DELETE FROM teams WHERE organisation_id = $1 AND team_id = $2";
    INSERT_TEAM_MEMBER = "INSERT INTO team_members (organisation_id, team_id, subject, role, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (organisation_id, team_id, subject) DO UPDATE SET role = $4";
    LIST_TEAM_MEMBERS = "SELECT m.team_id, m.role, m.created_at, u.subject, u.name, u.email, u.created_at
        FROM team_members m JOIN users u ON u.subject = m.subject
        WHERE m.organisation_id = $1 AND ($2 = '' OR m.team_id = $2) ORDER BY m.team_id, m.subject";
    DELETE_TEAM_MEMBERS = "DELETE FROM team_members WHERE organisation_id = $1 AND team_id = $2";
    DELETE_MEMBER_OF_TEAM = "DELETE FROM team_members
        WHERE organisation_id = $1 AND team_id = $2 AND subject = $3";
    LIST_ROLES_OF = concat!("SELECT DISTINCT ", role_columns!(), " FROM role_bindings b
        JOIN roles r ON r.organisation_id = $1 AND r.role_id = b.role_id
        WHERE b.organisation_id = $1 AND b.principal_kind = $2 AND b.principal_id = $3
        ORDER BY r.role_id");
    DELETE_TEAM_MEMBER = "DELETE FROM team_members WHERE organisation_id = $1 AND subject = $2";
    LIST_TEAMS_OF = "SELECT t.team_id, t.slug FROM team_members m
        JOIN teams t ON t.organisation_id = m.organisation_id AND t.team_id = m.team_id
        WHERE m.organisation_id = $1 AND m.subject = $2";

    // Roles.
    INSERT_ROLE = "INSERT INTO roles (organisation_id, role_id, slug, name, description, labels,
        annotations, system, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT DO NOTHING";
    FIND_ROLE = concat!("SELECT ", role_columns!(), " FROM roles r
        WHERE r.organisation_id = $1 AND (r.role_id = $2 OR r.slug = $2)
        ORDER BY r.role_id = $2 DESC LIMIT 1");
    LIST_ROLES = concat!("SELECT ", role_columns!(), " FROM roles r
        WHERE r.organisation_id = $1 ORDER BY r.role_id");
    TOUCH_ROLE = "UPDATE roles SET updated_at = $3, object_version = object_version + 1
        WHERE organisation_id = $1 AND role_id = $2";
    DELETE_ROLE = "DELETE FROM roles WHERE organisation_id = $1 AND role_id = $2";
    INSERT_RULE = "INSERT INTO role_rules (organisation_id, rule_id, role_id, resources,
        resource_identities, permissions, note) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST_RULES = "SELECT rule_id, resources, resource_identities, permissions, note FROM role_rules
        WHERE organisation_id = $1 AND role_id = $2 ORDER BY rule_id";
    DELETE_RULE = "DELETE FROM role_rules WHERE organisation_id = $1 AND role_id = $2 AND rule_id = $3";
    DELETE_RULES = "DELETE FROM role_rules WHERE organisation_id = $1 AND role_id = $2";
    INSERT_BINDING = "INSERT INTO role_bindings (organisation_id, binding_id, role_id, principal_kind,
        principal_id, name, description, labels, annotations, scopes, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    LIST_BINDINGS = concat!("SELECT ", holder_columns!(), " FROM role_bindings b ", holder_joins!(), "
        WHERE b.organisation_id = $1 AND b.role_id = $2 ORDER BY b.binding_id");
    COUNT_BINDINGS_OF = "SELECT COUNT(*) FROM role_bindings
        WHERE organisation_id = $1 AND principal_kind = $2 AND principal_id = $3";
    /// Bytes that the identities in rules take.
    MEASURE_RULES = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM (
        SELECT LENGTH(resource_identities) AS bytes FROM role_rules WHERE organisation_id = $1
        UNION ALL
        SELECT LENGTH(resource_identities) AS bytes FROM policy_rules WHERE organisation_id = $1) rules";
    DELETE_BINDING = "DELETE FROM role_bindings
        WHERE organisation_id = $1 AND role_id = $2 AND binding_id = $3";
    DELETE_BINDINGS_OF_ROLE = "DELETE FROM role_bindings WHERE organisation_id = $1 AND role_id = $2";
    DELETE_BINDINGS = "DELETE FROM role_bindings
        WHERE organisation_id = $1 AND principal_kind = $2 AND principal_id = $3";
    /// The rules of every role bound to a principal of the kind $3, a user also by team, with the scopes of the
    /// binding; a system role has none here.
    LIST_RULES_OF = "SELECT r.slug, r.system, bound.scopes, u.resources, u.resource_identities,
        u.permissions
        FROM (
            SELECT b.role_id, b.scopes FROM role_bindings b WHERE b.organisation_id = $1
            AND b.principal_kind = $3 AND b.principal_id = $2
            UNION
            SELECT b.role_id, b.scopes FROM team_members m JOIN role_bindings b
            ON b.organisation_id = $1 AND b.principal_kind = 'team' AND b.principal_id = m.team_id
            WHERE m.organisation_id = $1 AND m.subject = $2 AND $3 = 'user'
        ) bound
        JOIN roles r ON r.organisation_id = $1 AND r.role_id = bound.role_id
        LEFT JOIN role_rules u ON u.organisation_id = $1 AND u.role_id = r.role_id
        ORDER BY r.role_id, u.rule_id";

    // What servers on one store tell each other.
    COUNT_CHANGE = "INSERT INTO changes (name, number) VALUES ($1, 1)
        ON CONFLICT (name) DO UPDATE SET number = changes.number + 1";
    FIND_CHANGES = "SELECT name, number FROM changes";
    COMPARES_BYTES = "SELECT 'B' < 'a' AND 'a' < 'é'";
    FIND_SCHEMA_VERSION = "SELECT COALESCE(MAX(version), 0) FROM schema_versions";
    CLAIM_SCHEMA_VERSION = "INSERT INTO schema_versions (version) VALUES ($1) ON CONFLICT DO NOTHING";
    /// The row that stands there while a restore is at work.
    FIND_UNFINISHED = "SELECT version FROM schema_versions WHERE version = 0";
    CLEAR_UNFINISHED = "DELETE FROM schema_versions WHERE version = 0";

    // Projects and their IAM policies.
    INSERT_PROJECT = "INSERT INTO projects (organisation_id, project_id, slug, name, description, labels,
        annotations, parent_id, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT DO NOTHING";
    FIND_PROJECT = concat!("SELECT ", project_columns!(), " FROM projects p
        WHERE p.organisation_id = $1 AND (p.project_id = $2 OR p.slug = $2)
        ORDER BY p.project_id = $2 DESC LIMIT 1");
    LIST_PROJECTS = concat!("SELECT ", project_columns!(), " FROM projects p
        WHERE p.organisation_id = $1 ORDER BY p.project_id");
    SET_PROJECT = "UPDATE projects SET name = $3, description = $4, labels = $5, annotations = $6,
        parent_id = $7, updated_at = $8, object_version = object_version + 1
        WHERE organisation_id = $1 AND project_id = $2";
    /// What stands in the way of deleting a project: other projects, keys, secrets.
    COUNT_DEPENDENTS = "SELECT
        (SELECT COUNT(*) FROM projects WHERE organisation_id = $1 AND parent_id = $2),
        (SELECT COUNT(*) FROM kms_keys WHERE organisation_id = $1 AND project_id = $2
            AND status <> 'deleted'),
        (SELECT COUNT(*) FROM secrets WHERE organisation_id = $1 AND project_id = $2)";
    DELETE_PROJECT = "DELETE FROM projects WHERE organisation_id = $1 AND project_id = $2";
    /// A project and all above it, the project first.
    LIST_LINE = concat!(line_of_project!(), " SELECT project_id FROM line");
    INSERT_POLICY = "INSERT INTO iam_policies (organisation_id, policy_id, project_id, slug, name,
        description, labels, annotations, system, replicate, conditionals, created_at, updated_at,
        object_version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, 1) ON CONFLICT DO NOTHING";
    /// By identity, else the project's own by slug, else one from above.
    FIND_POLICY = concat!(line_of_project!(), " SELECT ", policy_columns!(), " FROM iam_policies p
        WHERE ", holds_in_project!(), " AND (p.policy_id = $3 OR p.slug = $3)
        ORDER BY p.policy_id = $3 DESC, p.project_id = $2 DESC, p.policy_id LIMIT 1");
    LIST_POLICIES = concat!(line_of_project!(), " SELECT ", policy_columns!(), " FROM iam_policies p
        WHERE ", holds_in_project!(), " ORDER BY p.policy_id");
    /// The policies bound to a principal itself, in whichever project, while that lasts.
    LIST_POLICIES_OF = concat!("SELECT DISTINCT ", policy_columns!(), " FROM policy_bindings b
        JOIN iam_policies p ON p.organisation_id = $1 AND p.policy_id = b.policy_id
        WHERE b.organisation_id = $1 AND b.principal_kind = $2 AND b.principal_id = $3
        AND (b.expires_at IS NULL OR b.expires_at > $4) ORDER BY p.policy_id");
    SET_POLICY_ABOUT = "UPDATE iam_policies SET description = $3, labels = $4, annotations = $5,
        conditionals = $6, updated_at = $7, object_version = object_version + 1
        WHERE organisation_id = $1 AND policy_id = $2";
    TOUCH_POLICY = "UPDATE iam_policies SET updated_at = $3, object_version = object_version + 1
        WHERE organisation_id = $1 AND policy_id = $2";
    DELETE_POLICY = "DELETE FROM iam_policies WHERE organisation_id = $1 AND policy_id = $2";
    DELETE_POLICIES = "DELETE FROM iam_policies WHERE organisation_id = $1 AND project_id = $2";
    INSERT_POLICY_RULE = "INSERT INTO policy_rules (organisation_id, rule_id, policy_id, resources,
        resource_identities, permissions, note) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST_POLICY_RULES = "SELECT rule_id, resources, resource_identities, permissions, note
        FROM policy_rules WHERE organisation_id = $1 AND policy_id = $2 ORDER BY rule_id";
    DELETE_POLICY_RULE = "DELETE FROM policy_rules
        WHERE organisation_id = $1 AND policy_id = $2 AND rule_id = $3";
    DELETE_POLICY_RULES = "DELETE FROM policy_rules WHERE organisation_id = $1 AND policy_id IN (
        SELECT policy_id FROM iam_policies
        WHERE organisation_id = $1 AND (policy_id = $2 OR project_id = $2))";
    INSERT_POLICY_BINDING = "INSERT INTO policy_bindings (organisation_id, binding_id, policy_id,
        principal_kind, principal_id, name, description, labels, annotations, elevation_id, expires_at,
        created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)";
    LIST_POLICY_BINDINGS = concat!("SELECT ", policy_holder_columns!(), " FROM policy_bindings b ",
        holder_joins!(), " WHERE b.organisation_id = $1 AND b.policy_id = $2 ORDER BY b.binding_id");
    SET_POLICY_BINDING = "UPDATE policy_bindings SET name = $4, description = $5, labels = $6,
        annotations = $7, expires_at = $8, updated_at = $9
        WHERE organisation_id = $1 AND policy_id = $2 AND binding_id = $3";
    DELETE_POLICY_BINDING = "DELETE FROM policy_bindings
        WHERE organisation_id = $1 AND policy_id = $2 AND binding_id = $3";
    /// Those of a policy, or of all policies of a project.
    DELETE_POLICY_BINDINGS = "DELETE FROM policy_bindings WHERE organisation_id = $1 AND policy_id IN (
        SELECT policy_id FROM iam_policies
        WHERE organisation_id = $1 AND (policy_id = $2 OR project_id = $2))";
    COUNT_POLICY_BINDINGS_OF = "SELECT COUNT(*) FROM policy_bindings
        WHERE organisation_id = $1 AND principal_kind = $2 AND principal_id = $3";
    DELETE_POLICY_BINDINGS_OF = "DELETE FROM policy_bindings
        WHERE organisation_id = $1 AND principal_kind = $2 AND principal_id = $3";
    DELETE_ELEVATED_BINDINGS = "DELETE FROM policy_bindings
        WHERE organisation_id = $1 AND policy_id = $2 AND elevation_id = $3";
    /// The rules of every policy that holds in the project $2 and is bound to a principal $3 of the kind $4, a
    /// user also by team; a system policy has none here.
    LIST_POLICY_RULES_OF = concat!(line_of_project!(), "
        SELECT p.policy_id, p.slug, p.system, p.replicate, p.conditionals, bound.expires_at, r.resources,
        r.resource_identities, r.permissions
        FROM (
            SELECT b.policy_id, b.expires_at FROM policy_bindings b WHERE b.organisation_id = $1
            AND b.principal_kind = $4 AND b.principal_id = $3
            UNION
            SELECT b.policy_id, b.expires_at FROM team_members m JOIN policy_bindings b
            ON b.organisation_id = $1 AND b.principal_kind = 'team' AND b.principal_id = m.team_id
            WHERE m.organisation_id = $1 AND m.subject = $3 AND $4 = 'user'
        ) bound
        JOIN iam_policies p ON p.policy_id = bound.policy_id AND ", holds_in_project!(), "
        LEFT JOIN policy_rules r ON r.organisation_id = $1 AND r.policy_id = p.policy_id
        ORDER BY p.policy_id, r.rule_id");
    INSERT_ELEVATION = "INSERT INTO access_elevations (organisation_id, elevation_id, project_id,
        policy_id, principal_kind, principal_id, reason, labels, annotations, status, expires_at,
        reviewed_by, review_note, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', $10, '', '', $11, $11)";
    FIND_ELEVATION = concat!("SELECT ", elevation_columns!(), " FROM access_elevations e
        WHERE e.organisation_id = $1 AND e.project_id = $2 AND e.elevation_id = $3");
    /// Of a project, newest first; with $3 those of one principal.
    LIST_ELEVATIONS = concat!("SELECT ", elevation_columns!(), " FROM access_elevations e
        WHERE e.organisation_id = $1 AND e.project_id = $2
        AND ($3 = '' OR (e.principal_kind = $3 AND e.principal_id = $4))
        ORDER BY e.elevation_id DESC LIMIT 1000");
    COUNT_PENDING_ELEVATIONS = "SELECT COUNT(*) FROM access_elevations
        WHERE organisation_id = $1 AND project_id = $2 AND principal_kind = $3 AND principal_id = $4
        AND status = 'pending' AND expires_at > $5";
    SET_ELEVATION = "UPDATE access_elevations SET status = $3, reviewed_by = $4, review_note = $5,
        updated_at = $6 WHERE organisation_id = $1 AND elevation_id = $2 AND status = $7";
    CANCEL_ELEVATIONS_OF = "UPDATE access_elevations SET status = 'cancelled'
        WHERE organisation_id = $1 AND principal_kind = $2 AND principal_id = $3 AND status = 'pending'";
    DELETE_ELEVATIONS = "DELETE FROM access_elevations
        WHERE organisation_id = $1 AND (policy_id = $2 OR project_id = $2)";
    // Administrators of the platform.
    INSERT_ADMINISTRATOR = "INSERT INTO administrators (token_hash, administrator_id, name, created_at,
        expires_at) VALUES ($1, $2, $3, $4, $5)";
    FIND_ADMINISTRATOR = "SELECT administrator_id, name, created_at, expires_at, last_used_at
        FROM administrators WHERE token_hash = $1";
    LIST_ADMINISTRATORS = "SELECT administrator_id, name, created_at, expires_at, last_used_at
        FROM administrators ORDER BY administrator_id";
    DELETE_ADMINISTRATOR = "DELETE FROM administrators WHERE administrator_id = $1";
    TOUCH_ADMINISTRATOR = "UPDATE administrators SET last_used_at = $2
        WHERE administrator_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

    // Quotas.
    INSERT_QUOTA = "INSERT INTO quotas (organisation_id, name, created_at) VALUES ($1, $2, $3)";
    SET_QUOTA_DEFAULT = "INSERT INTO quota_defaults (name, most) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET most = $2";
    /// Counts what is made or (below zero) deleted, in slot $4: how much it counts, what it may without a look at the
    /// others, and how much there may be of all, 0 for no bound.
    USE_QUOTA = "INSERT INTO quota_counts (organisation_id, name, slot, used, granted, granted_for)
        VALUES ($1, $2, $4, $3, 0, 0)
        ON CONFLICT (organisation_id, name, slot) DO UPDATE SET used = quota_counts.used + $3
        RETURNING used, granted, granted_for,
            (SELECT COALESCE(q.most, d.most, 0) FROM quotas q LEFT JOIN quota_defaults d ON d.name = q.name
            WHERE q.organisation_id = $1 AND q.name = $2)";
    /// As `USE_QUOTA`, within what slot $4 was granted for what there may be now; fails when that is not enough, because
    /// nobody waits for its answer before the commit.
    USE_GRANTED = "UPDATE quota_counts SET used = CASE WHEN EXISTS (
            SELECT 1 FROM quotas q LEFT JOIN quota_defaults d ON d.name = q.name
            WHERE q.organisation_id = $1 AND q.name = $2 AND (COALESCE(q.most, d.most, 0) = 0
                OR (COALESCE(q.most, d.most, 0) = quota_counts.granted_for
                    AND quota_counts.used + $3 <= quota_counts.granted))
        ) THEN quota_counts.used + $3 ELSE NULL END
        WHERE organisation_id = $1 AND name = $2 AND slot = $4";
    /// What is used in every organisation.
    COUNT_ALL = "SELECT name, CAST(SUM(used) AS BIGINT) FROM quota_counts GROUP BY name ORDER BY name";
    /// What is used, and what may be used of what was granted for the maximum $4, slot $3 as it is.
    SUM_QUOTA = "SELECT CAST(SUM(used) AS BIGINT), CAST(SUM(CASE WHEN slot <> $3 AND granted > used
        AND granted_for = $4 THEN granted ELSE used END) AS BIGINT)
        FROM quota_counts WHERE organisation_id = $1 AND name = $2";
    GRANT_QUOTA = "UPDATE quota_counts SET granted = used + $4, granted_for = $5
        WHERE organisation_id = $1 AND name = $2 AND slot = $3";
    TAKE_QUOTA_BACK = "UPDATE quota_counts SET granted = 0 WHERE organisation_id = $1 AND name = $2 AND granted > used";
    /// What was never counted can be deleted all the same.
    LIST_QUOTAS = "SELECT q.name, CAST(CASE WHEN SUM(c.used) > 0 THEN SUM(c.used) ELSE 0 END AS BIGINT),
        COALESCE(q.most, d.most, 0), q.created_at FROM quotas q
        LEFT JOIN quota_defaults d ON d.name = q.name
        LEFT JOIN quota_counts c ON c.organisation_id = q.organisation_id AND c.name = q.name
        WHERE q.organisation_id = $1 GROUP BY q.name, q.most, d.most, q.created_at ORDER BY q.name";
    SET_QUOTA = "UPDATE quotas SET most = $3 WHERE organisation_id = $1 AND name = $2";
    INSERT_INCREASE = "INSERT INTO quota_increase_requests (organisation_id, request_id, name, new_most,
        reason, decision, decision_reason, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, 'pending', '', $6, $6)";
    LIST_INCREASES = "SELECT organisation_id, request_id, name, new_most, reason, decision, decision_reason,
        created_at, updated_at FROM quota_increase_requests WHERE organisation_id = $1
        ORDER BY request_id DESC LIMIT 100";
    /// Of every organisation, with a decision ($1) or with any, the newest first.
    LIST_ALL_INCREASES = "SELECT organisation_id, request_id, name, new_most, reason, decision,
        decision_reason, created_at, updated_at FROM quota_increase_requests
        WHERE $1 = '' OR decision = $1 ORDER BY request_id DESC LIMIT 1000";
    FIND_INCREASE = "SELECT organisation_id, request_id, name, new_most, reason, decision, decision_reason,
        created_at, updated_at FROM quota_increase_requests WHERE request_id = $1";
    DECIDE_INCREASE = "UPDATE quota_increase_requests SET decision = $3, decision_reason = $4,
        updated_at = $5 WHERE organisation_id = $1 AND request_id = $2 AND decision = 'pending'";

    // Invites.
    INSERT_INVITE = "INSERT INTO invites (organisation_id, invite_id, code_hash, email, role, inviter_kind,
        inviter_id, team_id, role_id, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    FIND_INVITE = "SELECT organisation_id, invite_id, email, role, inviter_kind, inviter_id, team_id, role_id,
        created_at, expires_at FROM invites WHERE code_hash = $1";
    LIST_INVITES = "SELECT organisation_id, invite_id, email, role, inviter_kind, inviter_id, team_id, role_id,
        created_at, expires_at FROM invites WHERE organisation_id = $1 ORDER BY invite_id";
    DELETE_INVITE = "DELETE FROM invites WHERE organisation_id = $1 AND invite_id = $2";
    DELETE_EXPIRED_INVITES = "DELETE FROM invites WHERE organisation_id = $1 AND expires_at <= $2";

    // Tokens.
    INSERT_TOKEN = "INSERT INTO personal_access_tokens (token_hash, token_id, subject, name, scopes,
        created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND_TOKEN = "SELECT token_id, subject, scopes, expires_at FROM personal_access_tokens
        WHERE token_hash = $1";
    LIST_TOKENS = "SELECT token_id, name, scopes, created_at, expires_at, last_used_at
        FROM personal_access_tokens WHERE subject = $1 ORDER BY token_id";
    DELETE_TOKEN = "DELETE FROM personal_access_tokens WHERE subject = $1 AND token_id = $2";
    TOUCH_TOKEN = "UPDATE personal_access_tokens SET last_used_at = $2
        WHERE token_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

    // Service accounts.
    INSERT_ACCOUNT = "INSERT INTO service_accounts (organisation_id, account_id, slug, name, description,
        labels, annotations, created_by, created_at, updated_at, object_version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, 1) ON CONFLICT DO NOTHING";
    FIND_ACCOUNT = concat!("SELECT ", account_columns!(), " FROM service_accounts a
        LEFT JOIN users u ON u.subject = a.created_by WHERE a.organisation_id = $1 AND (a.account_id = $2 OR a.slug = $2)
        ORDER BY a.account_id = $2 DESC LIMIT 1");
    LIST_ACCOUNTS = concat!("SELECT ", account_columns!(), " FROM service_accounts a
        LEFT JOIN users u ON u.subject = a.created_by WHERE a.organisation_id = $1 ORDER BY a.account_id");
    SET_ACCOUNT = "UPDATE service_accounts SET name = $3, description = $4, labels = $5, annotations = $6,
        updated_at = $7, object_version = object_version + 1
        WHERE organisation_id = $1 AND account_id = $2";
    DELETE_ACCOUNT = "DELETE FROM service_accounts WHERE organisation_id = $1 AND account_id = $2";
    INSERT_CREDENTIAL = "INSERT INTO access_credentials (credential_hash, organisation_id, account_id,
        credential_id, access_key, name, description, scopes, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    FIND_CREDENTIAL = "SELECT c.credential_id, c.organisation_id, c.account_id, a.slug, c.scopes,
        c.expires_at, CAST(0 AS BIGINT) FROM access_credentials c JOIN service_accounts a
        ON a.organisation_id = c.organisation_id AND a.account_id = c.account_id
        WHERE c.credential_hash = $1";
    LIST_CREDENTIALS = "SELECT credential_id, access_key, name, description, scopes, created_at, expires_at,
        last_used_at FROM access_credentials WHERE organisation_id = $1 AND account_id = $2
        ORDER BY credential_id";
    DELETE_CREDENTIAL = "DELETE FROM access_credentials
        WHERE organisation_id = $1 AND account_id = $2 AND credential_id = $3";
    DELETE_CREDENTIALS = "DELETE FROM access_credentials WHERE organisation_id = $1 AND account_id = $2";
    TOUCH_CREDENTIAL = "UPDATE access_credentials SET last_used_at = $2
        WHERE credential_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

    /// As FIND_CREDENTIAL, by its identity: for access tokens.
    FIND_CREDENTIAL_HOLDER = "SELECT c.credential_id, c.organisation_id, c.account_id, a.slug, c.scopes,
        c.expires_at, CAST(0 AS BIGINT) FROM access_credentials c JOIN service_accounts a
        ON a.organisation_id = c.organisation_id AND a.account_id = c.account_id
        WHERE c.organisation_id = $1 AND c.credential_id = $2";

    // Federation.
    INSERT_PROVIDER = "INSERT INTO identity_providers (organisation_id, provider_id, name, description,
        labels, annotations, issuer, jwks_uri, local_jwks, status, created_by, created_at, updated_at,
        object_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, 1)
        ON CONFLICT DO NOTHING";
    FIND_PROVIDER = concat!("SELECT ", provider_columns!(), " FROM identity_providers p
        LEFT JOIN users u ON u.subject = p.created_by WHERE p.organisation_id = $1 AND p.provider_id = $2");
    FIND_PROVIDER_OF_ISSUER = concat!("SELECT ", provider_columns!(), " FROM identity_providers p
        LEFT JOIN users u ON u.subject = p.created_by WHERE p.organisation_id = $1 AND p.issuer = $2");
    LIST_PROVIDERS = concat!("SELECT ", provider_columns!(), " FROM identity_providers p
        LEFT JOIN users u ON u.subject = p.created_by WHERE p.organisation_id = $1 ORDER BY p.provider_id");
    SET_PROVIDER = "UPDATE identity_providers SET name = $3, description = $4, labels = $5,
        annotations = $6, jwks_uri = $7, local_jwks = $8, status = $9, updated_at = $10,
        object_version = object_version + 1, generation = generation + $11
        WHERE organisation_id = $1 AND provider_id = $2";
    DELETE_PROVIDER = "DELETE FROM identity_providers WHERE organisation_id = $1 AND provider_id = $2";
    INSERT_FEDERATION = "INSERT INTO federated_identities (organisation_id, identity_id, account_id,
        provider_id, name, description, labels, annotations, subject, audiences, audience_mode, scopes,
        conditions, status, created_by, created_at, updated_at, object_version, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, 1, $17)";
    FIND_FEDERATION = concat!("SELECT ", federation_columns!(), " FROM federated_identities f
        LEFT JOIN users u ON u.subject = f.created_by WHERE f.organisation_id = $1 AND f.identity_id = $2");
    LIST_FEDERATIONS = concat!("SELECT ", federation_columns!(), " FROM federated_identities f
        LEFT JOIN users u ON u.subject = f.created_by WHERE f.organisation_id = $1 ORDER BY f.identity_id");
    LIST_FEDERATIONS_OF_PROVIDER = concat!("SELECT ", federation_columns!(), " FROM
        federated_identities f LEFT JOIN users u ON u.subject = f.created_by WHERE f.organisation_id = $1 AND f.provider_id = $2
        ORDER BY f.identity_id");
    LIST_FEDERATIONS_BETWEEN = concat!("SELECT ", federation_columns!(), " FROM federated_identities f
        LEFT JOIN users u ON u.subject = f.created_by WHERE f.organisation_id = $1 AND f.account_id = $2 AND f.provider_id = $3
        ORDER BY f.identity_id");
    SET_FEDERATION = "UPDATE federated_identities SET name = $3, description = $4, labels = $5,
        annotations = $6, audiences = $7, audience_mode = $8, scopes = $9, conditions = $10, status = $11,
        expires_at = $12, updated_at = $13, object_version = object_version + 1, generation = generation + $14
        WHERE organisation_id = $1 AND identity_id = $2";
    DELETE_FEDERATION = "DELETE FROM federated_identities
        WHERE organisation_id = $1 AND identity_id = $2";
    DELETE_FEDERATIONS_OF_ACCOUNT = "DELETE FROM federated_identities
        WHERE organisation_id = $1 AND account_id = $2";
    /// As FIND_CREDENTIAL_HOLDER, while both the identity and its provider are in use.
    FIND_FEDERATION_HOLDER = "SELECT f.identity_id, f.organisation_id, f.account_id, a.slug, f.scopes,
        f.expires_at, f.generation + p.generation FROM federated_identities f
        JOIN identity_providers p ON p.organisation_id = f.organisation_id
            AND p.provider_id = f.provider_id
        JOIN service_accounts a ON a.organisation_id = f.organisation_id AND a.account_id = f.account_id
        WHERE f.organisation_id = $1 AND f.identity_id = $2 AND f.status = 'active'
        AND p.status = 'active'";
    TOUCH_FEDERATION = "UPDATE federated_identities SET last_used_at = $2
        WHERE identity_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

    // Keys.
    INSERT_KEY = "INSERT INTO kms_keys (organisation_id, key_id, region_id, project_id, name, slug,
        description, labels, annotations, key_type, digest, status, export_allowed, imported,
        allow_rotation, rotation_enabled, rotation_period_days, latest_version, min_decryption_version,
        created_at, updated_at, object_version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'active', $12, $13, $14, $15, $16, 1, 1, $17,
        $17, 1) ON CONFLICT DO NOTHING";
    INSERT_KEY_VERSION = "INSERT INTO kms_key_versions (organisation_id, key_id, version, status,
        root_key, wrapped_material, created_at) VALUES ($1, $2, $3, 'active', $4, $5, $6)";
    /// An identity finds a key until it is deleted; a slug does not find one that waits for that.
    FIND_KEY = concat!("SELECT ", key_columns!(), " FROM kms_keys k
        WHERE k.organisation_id = $1 AND k.region_id = $2 AND k.project_id = $3
        AND ((k.key_id = $4 AND k.status <> 'deleted')
            OR (k.slug = $4 AND k.deletion_scheduled_at IS NULL)) LIMIT 1");
    LIST_KEYS = concat!("SELECT ", key_columns!(), " FROM kms_keys k
        WHERE k.organisation_id = $1 AND k.region_id = $2 AND k.project_id = $3
        AND ($4 = '' OR k.key_id = $4) AND ($5 = '' OR k.name = $5) AND ($6 = '' OR k.slug = $6)
        AND ($7 = '' OR k.status = $7) AND k.status <> 'deleted' AND k.key_id > $8 ORDER BY k.key_id LIMIT $9");
    LIST_KEY_VERSIONS = "SELECT version, status, created_at FROM kms_key_versions
        WHERE organisation_id = $1 AND key_id = $2 ORDER BY version";
    FIND_KEY_MATERIAL = "SELECT root_key, wrapped_material FROM kms_key_versions
        WHERE organisation_id = $1 AND key_id = $2 AND version = $3";
    COUNT_KEYS = "SELECT region_id, status, COUNT(*) FROM kms_keys
        WHERE organisation_id = $1 AND project_id = $2 AND status <> 'deleted' GROUP BY region_id, status";
    SET_KEY_VERSION = "UPDATE kms_keys SET latest_version = $3, updated_at = $4,
        object_version = object_version + 1 WHERE organisation_id = $1 AND key_id = $2";
    SET_KEY_STATUS = "UPDATE kms_keys SET status = $3, slug = $4, deletion_scheduled_at = $5,
        updated_at = $6, object_version = object_version + 1 WHERE organisation_id = $1 AND key_id = $2";
    SET_ROTATION = "UPDATE kms_keys SET rotation_enabled = $3, rotation_period_days = $4,
        updated_at = $5, object_version = object_version + 1 WHERE organisation_id = $1 AND key_id = $2";
    /// Active keys whose period of rotation is over at $2, of every organisation, after the identity $1.
    LIST_DUE_KEYS = "SELECT k.key_id, k.organisation_id, k.region_id, k.project_id, k.key_type
        FROM kms_keys k JOIN kms_key_versions v ON v.organisation_id = k.organisation_id
            AND v.key_id = k.key_id AND v.version = k.latest_version
        WHERE k.key_id > $1 AND k.status = 'active' AND k.rotation_enabled = 1
        AND v.created_at + k.rotation_period_days * 86400000000 <= $2
        ORDER BY k.key_id LIMIT 1000";
    /// Active keys whose latest version has made 2^30 seals, of every organisation, after the identity $1.
    LIST_SPENT_KEYS = "SELECT k.key_id, k.organisation_id, k.region_id, k.project_id, k.key_type
        FROM kms_key_versions v JOIN kms_keys k ON k.organisation_id = v.organisation_id
            AND k.key_id = v.key_id AND k.latest_version = v.version
        WHERE v.seals >= 1073741824 AND k.key_id > $1 AND k.status = 'active'
        ORDER BY k.key_id LIMIT 1000";
    /// A key of an organisation with the date and the seals of its latest version, in a region with KMS.
    FIND_ROTATION = "SELECT v.created_at, v.seals FROM kms_keys k
        JOIN regions r ON r.region_id = k.region_id AND r.kms = 1
        JOIN kms_key_versions v ON v.organisation_id = k.organisation_id AND v.key_id = k.key_id
            AND v.version = k.latest_version
        WHERE k.organisation_id = $1 AND k.key_id = $2";
    /// Counts seals of a version before they are made.
    ADD_SEALS = "UPDATE kms_key_versions SET seals = seals + $4
        WHERE organisation_id = $1 AND key_id = $2 AND version = $3 RETURNING seals";
    /// Counts seals of every version that may make some, of keys of the type $1.
    ADD_LOST_SEALS = "UPDATE kms_key_versions SET seals = seals + $2 WHERE wrapped_material IS NOT NULL
        AND EXISTS (SELECT 1 FROM kms_keys k WHERE k.organisation_id = kms_key_versions.organisation_id
        AND k.key_id = kms_key_versions.key_id AND k.key_type = $1)";
    FIND_SLUG = "SELECT object_version FROM kms_keys WHERE organisation_id = $1 AND region_id = $2
        AND project_id = $3 AND slug = $4 AND deletion_scheduled_at IS NULL";
    /// Keys whose deletion has fallen due at $1, of every organisation, after the identity $2.
    LIST_PURGEABLE_KEYS = "SELECT key_id, organisation_id, region_id, project_id, key_type
        FROM kms_keys WHERE status = 'pending_deletion' AND deletion_scheduled_at <= $1
        AND key_id > $2 ORDER BY key_id LIMIT 1000";
    PURGE_KEY = "UPDATE kms_keys SET status = 'deleted', updated_at = $3,
        object_version = object_version + 1 WHERE organisation_id = $1 AND key_id = $2
        AND status = 'pending_deletion' AND deletion_scheduled_at <= $3";
    ERASE_MATERIAL = "UPDATE kms_key_versions SET status = 'destroyed', wrapped_material = NULL
        WHERE organisation_id = $1 AND key_id = $2";

    // Root keys and what they wrap, of every organisation.
    /// The root keys in use, each found behind the one before.
    LIST_ROOT_KEYS = "WITH RECURSIVE used (root_key) AS (
            SELECT MIN(root_key) FROM kms_key_versions WHERE wrapped_material IS NOT NULL
            UNION ALL
            SELECT (SELECT MIN(v.root_key) FROM kms_key_versions v
                WHERE v.wrapped_material IS NOT NULL AND v.root_key > used.root_key)
            FROM used WHERE used.root_key IS NOT NULL
        )
        SELECT root_key FROM used WHERE root_key IS NOT NULL
        UNION SELECT root_key FROM wrapping_keys UNION SELECT root_key FROM signing_keys ORDER BY root_key";
    /// Key versions that are under another root key than $1, after the place ($2, $3, $4).
    LIST_FOREIGN_VERSIONS = "SELECT v.organisation_id, k.region_id, k.project_id, v.key_id, v.version,
        k.key_type, k.digest, v.root_key, v.wrapped_material FROM kms_key_versions v
        JOIN kms_keys k ON k.organisation_id = v.organisation_id AND k.key_id = v.key_id
        WHERE (v.organisation_id, v.key_id, v.version) > ($2, $3, $4)
        AND v.root_key <> $1 AND v.wrapped_material IS NOT NULL
        ORDER BY v.organisation_id, v.key_id, v.version LIMIT $5";
    COUNT_FOREIGN = "SELECT (SELECT COUNT(*) FROM kms_key_versions
            WHERE wrapped_material IS NOT NULL AND root_key < $1)
        + (SELECT COUNT(*) FROM kms_key_versions WHERE wrapped_material IS NOT NULL AND root_key > $1)
        + (SELECT COUNT(*) FROM wrapping_keys WHERE root_key <> $1)
        + (SELECT COUNT(*) FROM signing_keys WHERE root_key <> $1)";
    /// Only what still is as it was read.
    REWRAP_VERSION = "UPDATE kms_key_versions SET root_key = $4, wrapped_material = $5
        WHERE organisation_id = $1 AND key_id = $2 AND version = $3 AND wrapped_material = $6";
    INSERT_WRAPPING_KEY = "INSERT INTO wrapping_keys (region_id, root_key, wrapped_material, created_at)
        VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    FIND_WRAPPING_KEY = "SELECT root_key, wrapped_material FROM wrapping_keys WHERE region_id = $1";
    LIST_FOREIGN_WRAPPING_KEYS = "SELECT region_id, root_key, wrapped_material FROM wrapping_keys
        WHERE root_key <> $1 ORDER BY region_id";
    REWRAP_WRAPPING_KEY = "UPDATE wrapping_keys SET root_key = $2, wrapped_material = $3
        WHERE region_id = $1 AND wrapped_material = $4";

    /// The store's own keys, one for each purpose: the first one stays.
    INSERT_SIGNING_KEY = "INSERT INTO signing_keys (purpose, key_id, root_key, wrapped_material,
        created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    FIND_SIGNING_KEY = "SELECT key_id, root_key, wrapped_material FROM signing_keys
        WHERE purpose = $1";
    LIST_FOREIGN_SIGNING_KEYS = "SELECT key_id, root_key, wrapped_material FROM signing_keys
        WHERE root_key <> $1 ORDER BY key_id";
    REWRAP_SIGNING_KEY = "UPDATE signing_keys SET root_key = $2, wrapped_material = $3
        WHERE key_id = $1 AND wrapped_material = $4";

    // Secrets.
    INSERT_SECRET = "INSERT INTO secrets (organisation_id, region_id, project_id, path, secret_id, key_id,
        description, labels, annotations, access_policy, policy_names, current_version, latest_version,
        object_version, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, 1, 1, $12, $12) ON CONFLICT DO NOTHING";
    INSERT_SECRET_VERSION = "INSERT INTO secret_versions (organisation_id, secret_id, version, format,
        key_version, wrapped_data_key, sealed_value, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    FIND_SECRET = concat!("SELECT ", secret_columns!(), ", ", key_columns!(), ", ", last_access!(), " FROM secrets s
        JOIN kms_keys k ON k.organisation_id = s.organisation_id AND k.key_id = s.key_id
        WHERE s.organisation_id = $1 AND s.region_id = $2 AND s.project_id = $3 AND s.path = $4");
    /// A secret with the latest version of its key, which seals.
    FIND_SECRET_TO_SEAL = concat!("SELECT ", secret_columns!(), ", ", key_columns!(), ",
        m.root_key, m.wrapped_material FROM secrets s
        JOIN kms_keys k ON k.organisation_id = s.organisation_id AND k.key_id = s.key_id
        LEFT JOIN kms_key_versions m ON m.organisation_id = k.organisation_id AND m.key_id = k.key_id
            AND m.version = k.latest_version
        WHERE s.organisation_id = $1 AND s.region_id = $2 AND s.project_id = $3 AND s.path = $4");
    /// A secret, the wanted version ($5, 0 for the current one) and the key version that sealed it.
    FIND_VALUE = concat!("SELECT ", secret_columns!(), ", ", key_columns!(), ",
        v.version, v.format, v.destroyed_at, v.wrapped_data_key, v.sealed_value, v.key_version,
        m.root_key, m.wrapped_material
        FROM secrets s
        JOIN kms_keys k ON k.organisation_id = s.organisation_id AND k.key_id = s.key_id
        LEFT JOIN secret_versions v ON v.organisation_id = s.organisation_id
            AND v.secret_id = s.secret_id
            AND v.version = CASE WHEN $5 = 0 THEN s.current_version ELSE $5 END
        LEFT JOIN kms_key_versions m ON m.organisation_id = s.organisation_id AND m.key_id = s.key_id
            AND m.version = v.key_version
        WHERE s.organisation_id = $1 AND s.region_id = $2 AND s.project_id = $3 AND s.path = $4");
    LIST_SECRET_VERSIONS = "SELECT v.version, v.destroyed_at, v.format, v.created_at, a.accessed_at
        FROM secret_versions v LEFT JOIN last_accesses a ON a.organisation_id = v.organisation_id
            AND a.secret_id = v.secret_id AND a.version = v.version
        WHERE v.organisation_id = $1 AND v.secret_id = $2 ORDER BY v.version";
    /// From $4 (inclusive) to $5 (exclusive, empty for no end), in bytewise order of the path.
    LIST_SECRETS = concat!("SELECT ", secret_columns!(), ", ", key_columns!(), ", ", last_access!(), " FROM secrets s
        JOIN kms_keys k ON k.organisation_id = s.organisation_id AND k.key_id = s.key_id
        WHERE s.organisation_id = $1 AND s.region_id = $2 AND s.project_id = $3
        AND s.path >= $4 AND s.path < $5 ORDER BY s.path LIMIT $6");
    SET_LATEST_VERSION = "UPDATE secrets SET current_version = $3, latest_version = $3, updated_at = $4,
        object_version = object_version + 1 WHERE organisation_id = $1 AND secret_id = $2";
    SET_POLICY = "UPDATE secrets SET access_policy = $3, policy_names = $4, updated_at = $5,
        object_version = object_version + 1 WHERE organisation_id = $1 AND secret_id = $2";
    SET_METADATA = "UPDATE secrets SET description = $3, labels = $4, annotations = $5, updated_at = $6,
        object_version = object_version + 1 WHERE organisation_id = $1 AND secret_id = $2";
    DESTROY_VERSION = "UPDATE secret_versions SET wrapped_data_key = NULL, sealed_value = NULL,
        destroyed_at = $4 WHERE organisation_id = $1 AND secret_id = $2 AND version = $3
        AND destroyed_at IS NULL";
    FIND_VERSION = "SELECT destroyed_at FROM secret_versions
        WHERE organisation_id = $1 AND secret_id = $2 AND version = $3";
    SET_CURRENT_VERSION = "UPDATE secrets SET current_version = (SELECT COALESCE(MAX(v.version), 0)
        FROM secret_versions v WHERE v.organisation_id = $1 AND v.secret_id = $2
        AND v.destroyed_at IS NULL), updated_at = $3, object_version = object_version + 1
        WHERE organisation_id = $1 AND secret_id = $2";
    COUNT_VERSIONS = "SELECT COUNT(*) FROM secret_versions WHERE organisation_id = $1 AND secret_id = $2
        AND destroyed_at IS NULL";
    DELETE_VERSIONS = "DELETE FROM secret_versions WHERE organisation_id = $1 AND secret_id = $2";
    DELETE_SECRET = "DELETE FROM secrets WHERE organisation_id = $1 AND secret_id = $2";
    DELETE_LAST_ACCESSES = "DELETE FROM last_accesses WHERE organisation_id = $1 AND secret_id = $2";
    /// Before they are deleted: from when until when each version was stored.
    END_VERSIONS = "INSERT INTO ended_versions (organisation_id, secret_id, version, region_id, project_id, created_at,
            ended_at)
        SELECT v.organisation_id, v.secret_id, v.version, s.region_id, s.project_id, v.created_at,
            COALESCE(v.destroyed_at, $3)
        FROM secrets s JOIN secret_versions v ON v.organisation_id = s.organisation_id
            AND v.secret_id = s.secret_id
        WHERE s.organisation_id = $1 AND s.secret_id = $2";
    /// From $2 to $3: versions that are stored now, seconds that versions were stored, and microseconds of the rest.
    METER_VERSIONS = "WITH stored AS (
            SELECT s.region_id, s.project_id, v.created_at, COALESCE(v.destroyed_at, $3) AS ended_at,
                CASE WHEN v.destroyed_at IS NULL THEN 1 ELSE 0 END AS is_there
            FROM secrets s JOIN secret_versions v ON v.organisation_id = s.organisation_id
                AND v.secret_id = s.secret_id
            WHERE s.organisation_id = $1 AND ($4 = '' OR s.project_id = $4)
            UNION ALL
            SELECT e.region_id, e.project_id, e.created_at, e.ended_at, 0 FROM ended_versions e
            WHERE e.organisation_id = $1 AND ($4 = '' OR e.project_id = $4)
        ), bounded AS (
            SELECT region_id, project_id, is_there,
                (CASE WHEN ended_at < $3 THEN ended_at ELSE $3 END)
                - (CASE WHEN created_at > $2 THEN created_at ELSE $2 END) AS micros
            FROM stored
        ), counted AS (
            SELECT region_id, project_id, is_there, CASE WHEN micros > 0 THEN micros ELSE 0 END AS micros
            FROM bounded
        )
        SELECT r.slug, c.project_id, CAST(SUM(c.is_there) AS BIGINT), CAST(SUM(c.micros / 1000000) AS BIGINT),
            CAST(SUM(c.micros % 1000000) AS BIGINT)
        FROM counted c JOIN regions r ON r.region_id = c.region_id
        GROUP BY r.slug, c.project_id ORDER BY r.slug, c.project_id";
    /// Never back in time, and nothing when the version is gone.
    TOUCH_VERSION = "INSERT INTO last_accesses (organisation_id, secret_id, version, accessed_at)
        SELECT v.organisation_id, v.secret_id, v.version, $4 FROM secret_versions v
        WHERE v.organisation_id = $1 AND v.secret_id = $2 AND v.version = $3
        ON CONFLICT (organisation_id, secret_id, version) DO UPDATE SET accessed_at = excluded.accessed_at
        WHERE last_accesses.accessed_at < excluded.accessed_at";

    // Answers that are kept under idempotency keys. Their owner is an organisation, or a principal.
    FIND_KEPT_ANSWER = "SELECT request_tag, outcome, subject, body, object_version FROM kept_answers
        WHERE organisation_id = $1 AND key_tag = $2 AND created_at > $3";
    INSERT_KEPT_ANSWER = "INSERT INTO kept_answers (organisation_id, key_tag, request_tag, outcome, subject,
        body, object_version, kib, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    /// Those from before $3 only.
    DELETE_KEPT_ANSWER = "DELETE FROM kept_answers WHERE organisation_id = $1 AND key_tag = $2
        AND created_at <= $3 RETURNING kib";
    /// The oldest ones from before $1, of every owner.
    LIST_EXPIRED_ANSWERS = "SELECT organisation_id, key_tag FROM kept_answers WHERE created_at <= $1
        ORDER BY created_at LIMIT $2";
    /// Adds $2 as long as that makes no more than $3.
    USE_ANSWER_ROOM = "INSERT INTO kept_answer_room (organisation_id, kib) VALUES ($1, $2)
        ON CONFLICT (organisation_id) DO UPDATE SET kib = kept_answer_room.kib + $2
        WHERE $2 < 0 OR kept_answer_room.kib + $2 <= $3";

    // The audit log.
    INSERT_EVENT = concat!("INSERT INTO audit_events (", event_columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20, $21, $22)");
    /// Of every organisation.
    COUNT_UNLINKED = "SELECT organisation_id, COUNT(*) FROM audit_events WHERE stream IS NULL
        GROUP BY organisation_id ORDER BY organisation_id";
    SET_BASE = "INSERT INTO audit_bases (organisation_id, stream, number, link, seal) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (organisation_id, stream) DO UPDATE SET number = excluded.number, link = excluded.link,
            seal = excluded.seal";
    /// Organisations, and "" for nobody's calls, with heads that no checkpoint tells.
    LIST_MOVED_CHAINS = concat!("SELECT DISTINCT h.organisation_id ", moved_heads!(), " ORDER BY h.organisation_id");
    LIST_MOVED_HEADS = concat!("SELECT h.stream, h.number, h.link ", moved_heads!(), "
        AND h.organisation_id = $1 ORDER BY h.stream");
    FIND_HEAD = "SELECT stream, number, link FROM audit_heads WHERE organisation_id = $1 AND stream = $2";
    INSERT_CHECKPOINT = "INSERT INTO audit_checkpoints (organisation_id, number, at, link, key_id, signature)
        VALUES ($1, $2, $3, $4, $5, $6)";
    INSERT_CHECKPOINT_HEAD = "INSERT INTO audit_checkpoint_heads (organisation_id, stream, number, checkpoint, link)
        VALUES ($1, $2, $3, $4, $5)";
    FIND_BASE = "SELECT stream, number, link FROM audit_bases WHERE organisation_id = $1 AND stream = $2";
    LIST_CHAINED_ORGANISATIONS = "SELECT organisation_id FROM audit_heads
        UNION SELECT organisation_id FROM audit_bases ORDER BY organisation_id";
    FIND_OLDEST_EVENT = "SELECT at FROM audit_events WHERE organisation_id = $1 ORDER BY at LIMIT 1";
    /// Streams with records from before $2, -1 for those in no stream.
    LIST_STREAMS_BEFORE = "SELECT DISTINCT COALESCE(e.stream, -1) FROM (SELECT stream FROM audit_events
        WHERE organisation_id = $1 AND at < $2 ORDER BY at LIMIT 1024) AS e";
    LIST_FIRST_OF_STREAM = "SELECT stream, number, link, at FROM audit_events
        WHERE organisation_id = $1 AND stream = $2 ORDER BY number LIMIT $3";
    DROP_FIRST_OF_STREAM = "DELETE FROM audit_events WHERE organisation_id = $1 AND stream = $2 AND number <= $3";
    DROP_UNLINKED = "DELETE FROM audit_events WHERE organisation_id = $1 AND at < $2 AND stream IS NULL";
    /// The last of those before $2, as a line of stream 0.
    FIND_OLD_CHECKPOINT = "SELECT 0, number, link FROM audit_checkpoints
        WHERE organisation_id = $1 AND at < $2 ORDER BY number DESC LIMIT 1";
    DROP_CHECKPOINTS = "DELETE FROM audit_checkpoints WHERE organisation_id = $1 AND number <= $2";
    DROP_CHECKPOINT_HEADS = "DELETE FROM audit_checkpoint_heads WHERE organisation_id = $1 AND checkpoint <= $2";
    SET_HEAD = "INSERT INTO audit_heads (organisation_id, stream, number, link, seal, moved_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (organisation_id, stream) DO UPDATE SET number = excluded.number, link = excluded.link,
            seal = excluded.seal, moved_at = excluded.moved_at";
    /// Counts up to $11, so that a search costs what it shows and not what the log holds.
    COUNT_EVENTS = concat!("SELECT COUNT(*) FROM (SELECT 1 ", audit_filter!(), " LIMIT $11) AS found");
    LIST_EVENTS = concat!("SELECT e.at, e.event_id, e.project_id, e.principal_kind, e.principal_id,
        e.action, e.resource_type, e.resource_id, e.outcome, e.reason, e.credential_id,
        e.credential_kind, e.client, e.user_agent, e.method, e.url_path, e.request_id, e.duration ",
        audit_filter!(), " ORDER BY e.at DESC, e.event_id DESC LIMIT $11 OFFSET $12");

    // Where the log is sent to.
    /// Streams that went on at $2 or later and that a sink does not have in full, those that have waited longest first.
    LIST_WAITING_STREAMS = concat!("SELECT ", sink_columns!(), " FROM audit_heads h ", sink_joins!("", ""), "
        WHERE h.moved_at >= $2 AND (p.number IS NULL OR p.number < h.number)
            AND (b.number IS NULL OR b.number < h.number)
        ORDER BY h.moved_at LIMIT $3");
    /// The streams behind one, whatever a sink has of them.
    LIST_STREAMS_BEHIND = concat!("SELECT ", sink_columns!(), " FROM audit_heads h ",
        sink_joins!(" AND (p.organisation_id, p.stream) > ($2, $3)", " AND (b.organisation_id, b.stream) > ($2, $3)"), "
        WHERE (h.organisation_id, h.stream) > ($2, $3) ORDER BY h.organisation_id, h.stream LIMIT $4");
    LIST_RECORDS_BEHIND = concat!("SELECT ", event_columns!(), " FROM audit_events
        WHERE organisation_id = $1 AND stream = $2 AND number > $3 ORDER BY number LIMIT $4");
    LIST_CHECKPOINTS_BEHIND = "SELECT number, at, key_id, signature FROM audit_checkpoints
        WHERE organisation_id = $1 AND number > $2 ORDER BY number LIMIT $3";
    LIST_CHECKPOINT_HEADS = "SELECT stream, number, link FROM audit_checkpoint_heads
        WHERE organisation_id = $1 AND checkpoint = $2 ORDER BY stream, number";
    /// Never back.
    SET_SINK_POSITION = "INSERT INTO audit_sink_positions (organisation_id, stream, sink, number)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (organisation_id, stream, sink) DO UPDATE SET number = excluded.number
        WHERE audit_sink_positions.number < excluded.number";
    FIND_SINK_POSITION = "SELECT number FROM audit_sink_positions
        WHERE organisation_id = $1 AND stream = $2 AND sink = $3";
    DELETE_SINK_POSITIONS = "DELETE FROM audit_sink_positions
        WHERE organisation_id = $1 AND stream = $2 AND number <= $3";
    /// Where nobody else holds it at $4; a time beyond $5 is one of no clock that is right.
    HOLD_SINK = "INSERT INTO audit_sinks (sink, holder, held_until) VALUES ($1, $2, $3)
        ON CONFLICT (sink) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
        WHERE audit_sinks.holder = excluded.holder OR audit_sinks.held_until <= $4 OR audit_sinks.held_until > $5";
    RELEASE_SINK = "UPDATE audit_sinks SET held_until = $3 WHERE sink = $1 AND holder = $2";
    LIST_SINKS_HELD_SINCE = "SELECT sink FROM audit_sinks WHERE held_until > $1 ORDER BY sink";
}

/// The name of the log that a PostgreSQL server writes to, which begins with the number of its timeline: that grows
/// whenever a server becomes the primary.
pub const FIND_TIMELINE: &str = "SELECT pg_walfile_name(pg_current_wal_lsn())";

/// Whether a server or a restore has worked on a PostgreSQL database.
pub const HAS_SCHEMA_VERSIONS: &str = "SELECT to_regclass('schema_versions') IS NOT NULL";

/// Makes the table, with the row of a restore that has not been finished in it. Of two, one succeeds.
pub const MARK_UNFINISHED: &str =
    "BEGIN; CREATE TABLE schema_versions (version BIGINT NOT NULL PRIMARY KEY);
    INSERT INTO schema_versions (version) VALUES (0); COMMIT";

pub const LOCK_SCHEMA_VERSIONS: &str = "LOCK TABLE schema_versions";

/// As `INSERT_EVENT` and `SET_HEAD`, each parameter an array with a value for each record or head, which PostgreSQL alone
/// has. What is there already stays; another record in its place is an error.
pub const INSERT_EVENTS: &str = concat!(
    "WITH heads AS (
        INSERT INTO audit_heads (organisation_id, stream, number, link, seal, moved_at)
        SELECT * FROM unnest($23, $24, $25, $26, $27, $28)
        ON CONFLICT (organisation_id, stream) DO UPDATE SET number = excluded.number, link = excluded.link,
            seal = excluded.seal, moved_at = excluded.moved_at
    )
    INSERT INTO audit_events (",
    event_columns!(),
    ") SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20, $21, $22)
    ON CONFLICT (organisation_id, at, event_id) DO NOTHING"
);

/// All rows of a table, in the order of its key. The names come from the schema itself.
pub fn all_rows(table: &str, columns: &[String], key: &[String]) -> String {
    format!("SELECT {} FROM {table} ORDER BY {}", columns.join(", "), key.join(", "))
}

/// One row of a table, its values in the order of the columns.
pub fn insert_row(table: &str, columns: &[String]) -> String {
    let values: Vec<_> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), values.join(", "))
}

/// As [`insert_row`], for many rows in PostgreSQL's binary form.
pub fn copy_rows(table: &str, columns: &[String]) -> String {
    format!("COPY {table} ({}) FROM STDIN WITH (FORMAT binary)", columns.join(", "))
}

/// Has a PostgreSQL server look at tables that were just filled, so that it plans well from the first moment.
pub fn analyse<'t>(tables: impl Iterator<Item = &'t str>) -> String {
    tables.map(|table| format!("ANALYZE {table};")).collect()
}

/// Drops tables, whatever refers to what, and the versions of their schema.
pub fn drop_tables<'t>(tables: impl Iterator<Item = &'t str>) -> String {
    let names: Vec<_> = tables.chain(["schema_versions"]).collect();
    format!("DROP TABLE IF EXISTS {}", names.join(", "))
}
