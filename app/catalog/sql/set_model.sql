-- What does a model look like after an operator's change?
-- A null changes nothing. A price and a schema may be null themselves, and change only if they are set.
INSERT INTO models AS model (slug, price_micro, price_rule, markup_micro, schema, enabled, disabled_reason)
VALUES (
    :slug, :price_micro, coalesce(:price_rule::text, 'metered'), coalesce(:markup_micro::bigint, 1000000), :schema::jsonb,
    coalesce(:enabled::boolean, true), CASE WHEN NOT :enabled::boolean THEN 'an operator' END
)
ON CONFLICT (slug) DO UPDATE SET
    price_micro = CASE WHEN :sets_price THEN :price_micro ELSE model.price_micro END,
    price_rule = coalesce(:price_rule, model.price_rule),
    markup_micro = coalesce(:markup_micro, model.markup_micro),
    schema = CASE WHEN :sets_schema THEN :schema ELSE model.schema END,
    enabled = coalesce(:enabled, model.enabled),
    disabled_reason = CASE :enabled WHEN true THEN NULL WHEN false THEN 'an operator' ELSE model.disabled_reason END,
    -- an operator who switches it on or sets its price has checked what it cost
    above_hold_count = CASE WHEN :enabled OR :sets_price THEN 0 ELSE model.above_hold_count END,
    updated_at = now()
RETURNING {{ model_columns }}
