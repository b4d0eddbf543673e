"""The official client library, unchanged, against the stub: `stripe_client.py BASE CA`, or with `-` as BASE and HTTPS_PROXY set."""
import sys
import stripe

if len(sys.argv) > 1 and sys.argv[1] != "-":
    stripe.api_base = sys.argv[1]
if len(sys.argv) > 2:
    stripe.ca_bundle_path = sys.argv[2]
stripe.api_key = "sk_test_none"
stripe.max_network_retries = 0

made = stripe.PaymentIntent.create(amount=2000, currency="usd", payment_method="pm_card_visa", metadata={"order": "7"})
assert isinstance(made, stripe.PaymentIntent) and made.status == "requires_confirmation", made
assert made.metadata["order"] == "7" and made.amount == 2000

done = stripe.PaymentIntent.confirm(made.id)
assert (done.status, done.amount_received) == ("succeeded", 2000), done
charge = stripe.Charge.retrieve(done.latest_charge)
assert isinstance(charge, stripe.Charge) and charge.payment_intent == made.id and charge.captured, charge

held = stripe.PaymentIntent.create(amount=500, currency="eur", payment_method="pm_card_visa", capture_method="manual", confirm=True)
assert (held.status, held.amount_capturable) == ("requires_capture", 500), held
taken = stripe.PaymentIntent.capture(held.id, amount_to_capture=300)
assert (taken.status, taken.amount_received) == ("succeeded", 300), taken

part = stripe.Refund.create(payment_intent=made.id, amount=500)
assert isinstance(part, stripe.Refund) and (part.amount, part.charge, part.status) == (500, charge.id, "succeeded"), part
rest = stripe.Refund.create(charge=charge.id, amount=1500)
after = stripe.Charge.retrieve(charge.id)
assert (after.amount_refunded, after.refunded) == (2000, True), after

listed = stripe.PaymentIntent.list(limit=1)
assert isinstance(listed, stripe.ListObject) and [p.id for p in listed.data] == [held.id] and listed.has_more, listed
assert {r.id for r in stripe.Refund.list().data} >= {part.id, rest.id}
assert isinstance(stripe.Refund.retrieve(rest.id), stripe.Refund)

try:
    stripe.PaymentIntent.create(amount=700, currency="usd", payment_method="pm_card_chargeDeclined", confirm=True)
    raise SystemExit("a declined card went through")
except stripe.CardError as error:
    assert (error.code, error.http_status) == ("card_declined", 402), error
try:
    stripe.PaymentIntent.retrieve("pi_nowhere")
    raise SystemExit("an intent that is not there was found")
except stripe.InvalidRequestError as error:
    assert error.code == "resource_missing", error
try:
    stripe.Customer.create(email="someone@example.com")
    raise SystemExit("a call without a rule was answered")
except stripe.APIError as error:
    assert error.http_status == 501, error
print("ok")
