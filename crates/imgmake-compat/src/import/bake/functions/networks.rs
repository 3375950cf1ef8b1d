//! Functions about addresses of networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::import::bake::value::Value;

use super::arguments::{Function, More, text_of, whole_of};

pub(super) const FUNCTIONS: &[Function] = &[
    ("cidrhost", 2, More::None, |a| {
        let network = Network::parse(&text_of(a, 0)?)?;
        network.host(whole_of(a, 1)?).map(Value::from)
    }),
    ("cidrnetmask", 1, More::None, |a| {
        let network = Network::parse(&text_of(a, 0)?)?;
        match network.bits {
            32 => Ok(network.address(network.mask()).into()),
            _ => Err("only networks of IPv4 have a mask".into()),
        }
    }),
    ("cidrsubnet", 3, More::None, |a| {
        let network = Network::parse(&text_of(a, 0)?)?;
        let (more, number) = (whole_of(a, 1)?, whole_of(a, 2)?);
        let number = u128::try_from(number).map_err(|_| "a number is 0 or more")?;
        network
            .subnet(more, number)
            .map(|net| net.to_string().into())
    }),
    ("cidrsubnets", 1, More::Any, |a| {
        let network = Network::parse(&text_of(a, 0)?)?;
        let full = || format!("{network} has no room for them");
        // How much is taken, from the beginning; none is everything.
        let mut taken = Some(0u128);
        let mut subnets = Vec::new();
        for at in 1..a.len() {
            let mut subnet = network.subnet(whole_of(a, at)?, 0)?;
            let before = taken.ok_or_else(full)?;
            // Each begins where one of its size can.
            let start = match subnet.size() {
                Some(size) => before.div_ceil(size).checked_mul(size),
                None => (before == 0).then_some(0),
            };
            let last = network.size().map_or(u128::MAX, |size| size - 1);
            let start = start.filter(|start| *start <= last).ok_or_else(full)?;
            subnet.base = network.base + start;
            taken = subnet.size().and_then(|size| start.checked_add(size));
            subnets.push(Value::from(subnet.to_string()));
        }
        Ok(Value::Array(subnets))
    }),
];

struct Network {
    base: u128,
    prefix: u32,
    /// 32 or 128.
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Network, String> {
        let wrong = || format!("invalid network {text:?}: expected one such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let (base, bits) = match address.parse().map_err(|_| wrong())? {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits);
        let mut network = Network {
            base,
            prefix: prefix.ok_or_else(wrong)?,
            bits,
        };
        network.base &= network.mask();
        Ok(network)
    }

    fn mask(&self) -> u128 {
        let all = if self.bits == 32 {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        all & all.checked_shl(self.bits - self.prefix).unwrap_or(0)
    }

    /// How many addresses; none is all of IPv6.
    fn size(&self) -> Option<u128> {
        1u128.checked_shl(self.bits - self.prefix)
    }

    fn address(&self, number: u128) -> String {
        match self.bits {
            32 => Ipv4Addr::from(number as u32).to_string(),
            _ => Ipv6Addr::from(number).to_string(),
        }
    }

    /// Below nothing it is counted from the end.
    fn host(&self, number: i64) -> Result<String, String> {
        let none = || format!("{self} has no host {number}");
        let last = self.size().map_or(u128::MAX, |size| size - 1);
        let away = u128::from(number.unsigned_abs());
        let place = match number < 0 {
            true => last.checked_sub(away - 1),
            false => Some(away),
        };
        let place = place.filter(|place| *place <= last).ok_or_else(none)?;
        Ok(self.address(self.base + place))
    }

    fn subnet(&self, more: i64, number: u128) -> Result<Network, String> {
        let more = u32::try_from(more)
            .ok()
            .filter(|more| *more <= self.bits - self.prefix);
        let more = more.ok_or_else(|| format!("{self} cannot be divided so far"))?;
        if more < 128 && number >> more != 0 {
            return Err(format!("{self} has no part {number} of {more} bits"));
        }
        let prefix = self.prefix + more;
        let shifted = number.checked_shl(self.bits - prefix).unwrap_or(0);
        Ok(Network {
            base: self.base | shifted,
            prefix,
            bits: self.bits,
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(self.base), self.prefix)
    }
}
