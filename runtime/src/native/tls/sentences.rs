//! What is wrong, for the person who reads it, in a sentence that goes on after the server's name.

use rustix::io::Errno;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, ExtendedKeyPurpose, InvalidMessage};

/// EKEYREJECTED: the server's certificate was refused. EPROTO: anything else.
pub fn of(error: &Error) -> (Errno, String) {
    match error {
        Error::InvalidCertificate(reason) => (Errno::KEYREJECTED, of_certificate(reason)),
        Error::NoCertificatesPresented => (Errno::KEYREJECTED, "it has no certificate".to_owned()),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            (Errno::PROTO, "it does not speak TLS".to_owned())
        }
        Error::AlertReceived(alert) => (Errno::PROTO, of_alert(*alert)),
        other => (Errno::PROTO, format!("{other}")),
    }
}

fn of_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "no CA that is trusted here has signed its certificate".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("its certificate has expired: it was valid until {}, and now is {}", date(*not_after), date(*time))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("its certificate is not valid before {}, and now is {}", date(*not_before), date(*time))
        }
        CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!("its certificate is not for {}: it has no names (subjectAltName)", expected.to_str())
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            format!("its certificate is not for {}, but for {}", expected.to_str(), names.join(", "))
        }
        CertificateError::InvalidPurposeContext { presented, .. } => {
            let purposes: Vec<String> = presented.iter().map(purpose).collect();
            format!("its certificate is not for servers: its extended key usage is {}", purposes.join(", "))
        }
        // A cluster that was made anew has a CA of the same name.
        CertificateError::BadSignature => {
            "no CA that is trusted here has signed its certificate, though one has the signer's name".to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it wants a client certificate, and none is configured".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::UnsupportedCertificate => format!("it refuses our client certificate ({alert:?})"),
        other => format!("it ends the TLS session ({other:?})"),
    }
}

/// rustls writes names as in Rust: DnsName("host"), IpAddress(10.0.0.1).
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn purpose(purpose: &ExtendedKeyPurpose) -> String {
    match purpose {
        ExtendedKeyPurpose::ClientAuth => "clientAuth".to_owned(),
        ExtendedKeyPurpose::ServerAuth => "serverAuth".to_owned(),
        other => format!("{other:?}"),
    }
}

/// As in 2026-11-26T20:15:00Z.
fn date(time: UnixTime) -> String {
    let (day, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    // Years begin in March here, so that the day that some have more is the last: then the months before a day follow
    // from its number.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = 400 * era + year + u64::from(month < 3);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
