//! What there may be many of, out of protocol buffers.
//!
//! The API writes all fields but those that are nothing; numbers of fields never change.
//!
//! Sources: <https://github.com/kubernetes/api/blob/master/core/v1/generated.proto>,
//! <https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/generated.proto>

use super::{
    Condition, ContainerSpec, ContainerState, ContainerStatus, Metadata, Object, OwnerReference, Pod, PodIp,
    PodSpec, PodStatus, Running, Volume,
};
use crate::pod::{Owner, Phase};
use crate::protobuf::{Field, Malformed, Message};
use jiff::Timestamp;
use serde::de::IgnoredAny;

/// What is read from a message, field by field; what is not told is as if it was not there.
pub(crate) trait FromMessage: Default {
    /// Takes what a field says.
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed>;

    /// Reads a message.
    fn read(message: Message<'_>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        for field in message {
            let (number, field) = field?;
            read.take(number, field)?;
        }
        Ok(read)
    }
}

fn read<T: FromMessage>(field: Field<'_>) -> Result<T, Malformed> {
    T::read(field.message()?)
}

/// What every object has a name and a uid in.
fn known(field: Field<'_>) -> Result<Metadata, Malformed> {
    let metadata: Metadata = read(field)?;
    if metadata.name.is_empty() || metadata.uid.is_empty() { Err(Malformed) } else { Ok(metadata) }
}

impl FromMessage for Pod {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.metadata = known(field)?,
            2 => self.spec = read(field)?,
            3 => self.status = read(field)?,
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for Object {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.metadata = known(field)?;
        }
        Ok(())
    }
}

impl FromMessage for Metadata {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = field.text()?,
            3 => self.namespace = field.text()?,
            5 => self.uid = field.text()?,
            6 => self.resource_version = field.text()?,
            8 => self.creation_timestamp = time(field)?,
            9 => self.deletion_timestamp = Some(IgnoredAny),
            11 => self.labels.extend([entry(field)?]),
            12 => self.annotations.extend([entry(field)?]),
            13 => self.owner_references.push(read(field)?),
            _ => {}
        }
        Ok(())
    }
}

/// One of a map.
fn entry(field: Field<'_>) -> Result<(String, String), Malformed> {
    let message = field.message()?;
    let text = |number| message.last(number)?.map_or(Ok(String::new()), Field::text);
    Ok((text(1)?, text(2)?))
}

/// A time as JSON writes it, unless it is none.
fn time(field: Field<'_>) -> Result<Option<String>, Malformed> {
    let seconds = field.message()?.last(1)?.map_or(Ok(0), Field::number)?.cast_signed();
    if seconds == 0 {
        return Ok(None);
    }
    Timestamp::from_second(seconds).map(|time| Some(time.to_string())).map_err(|_| Malformed)
}

impl FromMessage for OwnerReference {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        let Owner { kind, name, uid } = &mut self.owner;
        match number {
            1 => *kind = field.text()?,
            3 => *name = field.text()?,
            4 => *uid = field.text()?,
            6 => self.controller = field.is_true()?,
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for PodSpec {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.volumes.push(read(field)?),
            2 => self.containers.push(read(field)?),
            3 => self.restart_policy = Some(field.text()?),
            4 => self.termination_grace_period_seconds = Some(field.number()?.cast_signed()),
            8 => self.service_account_name = field.text()?,
            10 => self.node_name = Some(field.text()?),
            11 => self.host_network = field.is_true()?,
            20 => self.init_containers.push(read(field)?),
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for ContainerSpec {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = field.text()?,
            2 => self.image = field.text()?,
            24 => self.restart_policy = Some(field.text()?),
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for Volume {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        if number == 2 {
            self.empty_dir = field.message()?.last(2)?.map(|_| IgnoredAny);
        }
        Ok(())
    }
}

impl FromMessage for PodStatus {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.phase = Phase::parse(&field.text()?).ok_or(Malformed)?,
            2 => self.conditions.push(read(field)?),
            6 => self.pod_ip = Some(field.text()?),
            8 => self.container_statuses.push(read(field)?),
            10 => self.init_container_statuses.push(read(field)?),
            12 => self.pod_ips.push(read(field)?),
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for Condition {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.kind = field.text()?,
            2 => self.status = field.text()?,
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for PodIp {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.ip = field.text()?;
        }
        Ok(())
    }
}

impl FromMessage for ContainerStatus {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        match number {
            1 => self.name = field.text()?,
            2 => self.state = read(field)?,
            4 => self.ready = field.is_true()?,
            5 => self.restart_count = u32::try_from(field.number()?).map_err(|_| Malformed)?,
            8 => self.container_id = Some(field.text()?),
            _ => {}
        }
        Ok(())
    }
}

impl FromMessage for ContainerState {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        if number == 2 {
            self.running = Some(read(field)?);
        }
        Ok(())
    }
}

impl FromMessage for Running {
    fn take(&mut self, number: u64, field: Field<'_>) -> Result<(), Malformed> {
        if number == 1 {
            self.started_at = time(field)?;
        }
        Ok(())
    }
}
