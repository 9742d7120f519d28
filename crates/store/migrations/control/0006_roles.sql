-- What a key may do. A key of an operator opens no tenant: its tenant is empty, which no tenant's name is.
ALTER TABLE keys ADD COLUMN role TEXT NOT NULL DEFAULT 'member'
    CHECK (role IN ('member', 'tenant-admin', 'operator') AND (role = 'operator') = (tenant = ''));

-- The role of an issued key, or the reason for which a tenant was entered.
ALTER TABLE audit ADD COLUMN note TEXT;

CREATE INDEX audit_of_tenant ON audit (tenant, number);
CREATE INDEX keys_of_principal ON keys (tenant, principal);
