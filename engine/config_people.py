"""The part of the configuration that is about people: who reaches the engine, whom it tells."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]


class AccessConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who reaches the API from elsewhere; accounts are made by `aegis access`."""

    api_token: Annotated[
        str,
        Meta(description="Token of an admin without an account (API_TOKEN); 24 characters."),
    ] = ""
    tls_certificate: Annotated[
        str, Meta(description="PEM file; with tls_key the API speaks TLS only.")
    ] = ""
    tls_key: Annotated[str, Meta(description="PEM file of the certificate's key.")] = ""
    tls_client_ca: Annotated[
        str, Meta(description="PEM file; clients must show a certificate that it signed.")
    ] = ""
    tls_client_certificate: Annotated[
        str,
        Meta(description="PEM file that this machine's own commands show, with tls_client_key."),
    ] = ""
    tls_client_key: Annotated[str, Meta(description="PEM file of that certificate's key.")] = ""


class TracesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Spans of orders for an OpenTelemetry collector; extra `otel`."""

    endpoint: Annotated[
        str,
        Meta(
            pattern="^$|^https?://",
            description="OTLP over HTTP, as http://127.0.0.1:4318/v1/traces; empty: none are sent.",
        ),
    ] = ""
    sample_ratio: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Share of the orders whose spans are sent.")
    ] = 0.1


class AlertsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom to tell, of what, and how often; extra `alerts`. Try it by `aegis alert test`."""

    urls: Annotated[
        str,
        Meta(
            description="Addresses as apprise has them (slack://, tgram://, mailto://, json://, "
            "sns://, pagerduty:// ...), parted by white space (ALERT_URLS); empty: nobody is told."
        ),
    ] = ""
    escalate_urls: Annotated[
        str, Meta(description="Who is told of what nobody answered; empty: the same.")
    ] = ""
    min_severity: Annotated[
        str,
        Meta(
            pattern="^(info|warning|critical)$",
            description="What is less grave is told nobody: info, warning, critical.",
        ),
    ] = "warning"
    rules: Annotated[
        dict[str, Annotated[str, Meta(pattern="^(off|info|warning|critical)$")]],
        Meta(description="Another severity for a kind of alert, or off; docs/runbook.md."),
    ] = {}
    group_s: Annotated[
        Count, Meta(le=86_400, description="The first of a kind goes out at once, the next after.")
    ] = 60
    per_hour_max: Annotated[
        Positive, Meta(description="Messages an hour; critical ones are not counted.")
    ] = 30
    escalate_after_s: Annotated[
        Count, Meta(le=86_400, description="A critical one nobody answers goes on; 0: never.")
    ] = 300
