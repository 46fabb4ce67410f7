//! Where a service of AWS is asked: `https://SERVICE.REGION.DOMAIN`, where nothing else is said.
//!
//! Source: <https://docs.aws.amazon.com/general/latest/gr/rande.html>, and the partitions of the SDKs.

use crate::error::{AwsError, Problem};

/// A service of AWS, by the names that it goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// For people and in settings: `AWS_ENDPOINT_URL_EC2`.
    pub(crate) id: &'static str,
    /// In names of hosts.
    pub(crate) host: &'static str,
    /// In signatures.
    pub(crate) signing: &'static str,
}

/// Regions of other partitions than the usual one, by what their names begin with, and their domains.
const PARTITIONS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
];

/// Checks what is to become part of a host's name.
pub(crate) fn check_region(region: &str) -> Result<(), AwsError> {
    let is_plain = !region.is_empty()
        && region
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    if is_plain {
        return Ok(());
    }
    Err(AwsError::new(
        Problem::Invalid,
        format!("{region:?} is no region of AWS; one is written so: eu-west-1"),
    ))
}

/// The address of a service in a region.
pub(crate) fn of(service: Service, region: &str, fips: bool) -> String {
    let found = PARTITIONS.iter().find(|(beginning, _)| region.starts_with(beginning));
    let domain = found.map_or("amazonaws.com", |(_, domain)| domain);
    let fips = if fips { "-fips" } else { "" };
    format!("https://{}{fips}.{region}.{domain}", service.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_domain() {
        let ec2 = Service { id: "EC2", host: "ec2", signing: "ec2" };
        for (region, address) in [
            ("eu-west-1", "https://ec2.eu-west-1.amazonaws.com"),
            ("cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "https://ec2.us-gov-west-1.amazonaws.com"),
            ("us-isob-east-1", "https://ec2.us-isob-east-1.sc2s.sgov.gov"),
            ("eusc-de-east-1", "https://ec2.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(of(ec2, region, false), address);
        }
        assert_eq!(of(ec2, "us-east-1", true), "https://ec2-fips.us-east-1.amazonaws.com");
    }

    #[test]
    fn a_region_cannot_lead_elsewhere() {
        assert!(check_region("eu-west-1").is_ok());
        for region in ["", "EU", "evil.example/", "a@b"] {
            assert!(check_region(region).is_err(), "{region}");
        }
    }
}
