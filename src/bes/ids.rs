//! The ids of build events.

use crate::pb::build_event_stream::BuildEventId;
use crate::pb::build_event_stream::build_event_id::{
    ActionCompletedId, BuildFinishedId, BuildMetadataId, BuildMetricsId, BuildStartedId,
    BuildToolLogsId, ConfigurationId, Id, OptionsParsedId, PatternExpandedId, ProgressId,
    StructuredCommandLineId, TargetCompletedId, TargetConfiguredId, WorkspaceStatusId,
};

fn id(id: Id) -> BuildEventId {
    BuildEventId { id: Some(id) }
}

pub(super) fn started() -> BuildEventId {
    id(Id::Started(BuildStartedId {}))
}

pub(super) fn command_line(label: &str) -> BuildEventId {
    id(Id::StructuredCommandLine(StructuredCommandLineId {
        command_line_label: label.to_owned(),
    }))
}

pub(super) fn options_parsed() -> BuildEventId {
    id(Id::OptionsParsed(OptionsParsedId {}))
}

pub(super) fn workspace_status() -> BuildEventId {
    id(Id::WorkspaceStatus(WorkspaceStatusId {}))
}

pub(super) fn build_metadata() -> BuildEventId {
    id(Id::BuildMetadata(BuildMetadataId {}))
}

pub(super) fn configuration(name: &str) -> BuildEventId {
    id(Id::Configuration(ConfigurationId {
        id: name.to_owned(),
    }))
}

pub(super) fn pattern(label: &str) -> BuildEventId {
    id(Id::Pattern(PatternExpandedId {
        pattern: vec![label.to_owned()],
    }))
}

pub(super) fn target_configured(label: &str) -> BuildEventId {
    id(Id::TargetConfigured(TargetConfiguredId {
        label: label.to_owned(),
        aspect: String::new(),
    }))
}

pub(super) fn target_completed(label: &str, configuration: &str) -> BuildEventId {
    id(Id::TargetCompleted(TargetCompletedId {
        label: label.to_owned(),
        aspect: String::new(),
        configuration: Some(ConfigurationId {
            id: configuration.to_owned(),
        }),
    }))
}

pub(super) fn action_completed(output: &str, label: &str, configuration: &str) -> BuildEventId {
    id(Id::ActionCompleted(ActionCompletedId {
        primary_output: output.to_owned(),
        label: label.to_owned(),
        configuration: Some(ConfigurationId {
            id: configuration.to_owned(),
        }),
    }))
}

pub(super) fn progress(count: i32) -> BuildEventId {
    id(Id::Progress(ProgressId {
        opaque_count: count,
    }))
}

pub(super) fn build_finished() -> BuildEventId {
    id(Id::BuildFinished(BuildFinishedId {}))
}

pub(super) fn build_metrics() -> BuildEventId {
    id(Id::BuildMetrics(BuildMetricsId {}))
}

pub(super) fn build_tool_logs() -> BuildEventId {
    id(Id::BuildToolLogs(BuildToolLogsId {}))
}
