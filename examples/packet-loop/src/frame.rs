//! What is read of a frame.

use core::net::IpAddr;

use etherparse::{
    EtherType, Ethernet2HeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice,
    SingleVlanHeaderSlice,
};

/// What distinguishes one flow from others: addresses, protocol and ports. Frames of a protocol
/// without ports, and fragments but for the first, have ports of 0.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Flow {
    /// The sender, an IPv4 address as the IPv6 address that maps it.
    pub source: u128,
    /// The receiver, likewise.
    pub target: u128,
    /// The sender's port, the receiver's port, and the protocol's number: 16, 16 and 8 bits.
    pub ports: u64,
}

/// The network of a frame's sender: the first 24 bits of an IPv4 address, and the first 64 of an
/// IPv6 address.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Subnet(u64);

impl Subnet {
    /// Returns the network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // The upper half of a mapped address is 0, and so is that of no global one.
            IpAddr::V4(address) => Self(u64::from(u32::from(address) >> 8)),
            IpAddr::V6(address) => Self((u128::from(address) >> 64) as u64),
        }
    }
}

/// What the loop needs to know of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its flow.
    pub flow: Flow,
    /// The network of its sender.
    pub subnet: Subnet,
    /// Its bits on the wire, as a cost: those of the frame that was received, without preamble and
    /// checksum.
    pub bits: u64,
}

impl Frame {
    /// Fills an array that frames are read into.
    pub const NONE: Self =
        Self { flow: Flow { source: 0, target: 0, ports: 0 }, subnet: Subnet(0), bits: 0 };
}

/// Reads an Ethernet frame, with up to two VLAN tags. Returns `None` if it carries no IP packet, or ends
/// within the packet's first header. Reads no more than flows need: a frame with a damaged
/// payload counts for its flow. The function does not read behind an extension header of IPv6:
/// such packets between two hosts count as one flow.
///
/// Allocates nothing, and panics at no input. The slices of the parts are read one by one, because the
/// library's slice of a whole packet takes half a kilobyte, which is copied from call to call.
pub fn read(bytes: &[u8], bits: u64) -> Option<Frame> {
    let ethernet = Ethernet2HeaderSlice::from_slice(bytes).ok()?;
    let (mut kind, mut rest) = (ethernet.ether_type(), bytes.get(ethernet.slice().len()..)?);
    for _ in 0..2 {
        if !matches!(kind, EtherType::VLAN_TAGGED_FRAME | EtherType::PROVIDER_BRIDGING) {
            break;
        }
        let tag = SingleVlanHeaderSlice::from_slice(rest).ok()?;
        (kind, rest) = (tag.ether_type(), rest.get(tag.slice().len()..)?);
    }
    let (source, target, protocol, payload) = match kind {
        EtherType::IPV4 => {
            let header = Ipv4HeaderSlice::from_slice(rest).ok()?;
            let (source, target) = (header.source_addr(), header.destination_addr());
            // Only the first fragment has ports.
            let is_first = header.fragments_offset().value() == 0;
            let payload = rest.get(header.slice().len()..).filter(|_| is_first);
            (IpAddr::V4(source), IpAddr::V4(target), header.protocol(), payload)
        }
        EtherType::IPV6 => {
            let header = Ipv6HeaderSlice::from_slice(rest).ok()?;
            let (source, target) = (header.source_addr(), header.destination_addr());
            let payload = rest.get(header.slice().len()..);
            (IpAddr::V6(source), IpAddr::V6(target), header.next_header(), payload)
        }
        _ => return None,
    };
    let ports = match (protocol, payload) {
        // Either begins with both.
        (IpNumber::TCP | IpNumber::UDP, Some(&[a, b, c, d, ..])) => {
            u32::from_be_bytes([a, b, c, d])
        }
        _ => 0,
    };
    let ports = u64::from(ports) << 8 | u64::from(protocol.0);
    let flow = Flow { source: number(source), target: number(target), ports };
    Some(Frame { flow, subnet: Subnet::of(source), bits })
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn udp(source: [u8; 4], port: u16) -> Vec<u8> {
        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, [192, 0, 2, 1], 64).udp(port, 53);
        let mut frame = Vec::new();
        builder.write(&mut frame, b"question").expect("a frame in memory");
        frame
    }

    #[test]
    fn flows_differ_by_address_and_port_and_share_a_subnet() {
        let one = read(&udp([10, 1, 2, 3], 1000), 400).expect("a packet");
        let same = read(&udp([10, 1, 2, 3], 1000), 800).expect("a packet");
        let port = read(&udp([10, 1, 2, 3], 1001), 400).expect("a packet");
        let host = read(&udp([10, 1, 2, 4], 1000), 400).expect("a packet");
        let other = read(&udp([10, 1, 3, 3], 1000), 400).expect("a packet");
        assert_eq!((one.flow, one.bits, same.bits), (same.flow, 400, 800));
        assert!(one.flow != port.flow && one.flow != host.flow);
        assert_eq!(one.subnet, host.subnet);
        assert_ne!(one.subnet, other.subnet);
    }

    #[test]
    fn an_ipv6_packet_has_a_flow_too() {
        let source: [u8; 16] = core::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6).octets();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6(source, [9; 16], 64)
            .tcp(4000, 443, 1, 1_000);
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &[]).expect("a frame in memory");
        let frame = read(&bytes, 1).expect("a packet");
        assert_eq!(frame.flow.source, u128::from_be_bytes(source));
        assert_eq!(frame.flow.ports, 4000 << 24 | 443 << 8 | 6);
        assert_eq!(frame.subnet, Subnet::of(IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, 0])));
    }

    #[test]
    fn frames_that_are_cut_or_damaged_do_no_harm() {
        let whole = udp([10, 0, 0, 1], 7);
        for end in 0..whole.len() {
            let read = read(&whole[..end], 1);
            assert_eq!(read.is_some(), end >= 34, "an IPv4 header ends at 34, not {end}");
        }
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[place] ^= 1 << bit;
                read(&damaged, 1);
            }
        }
        assert_eq!(read(&[], 0), None);
        assert_eq!(read(&[0xff; 9_000], 0), None);
    }
}
