import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAwsSettings } from './aws-settings.js';

let folder: string;
let files: Record<string, string>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sponge-aws-'));
  files = { AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials'), AWS_CONFIG_FILE: join(folder, 'config') };
  await writeFile(
    files['AWS_SHARED_CREDENTIALS_FILE']!,
    '# a comment\n[default]\naws_access_key_id = DEFAULT\naws_secret_access_key=one=two\n\n[ team ]\r\naws_access_key_id = TEAM\r\naws_secret_access_key = three\r\naws_session_token = four\r\n[half]\naws_access_key_id = HALF\n',
  );
  await writeFile(
    files['AWS_CONFIG_FILE']!,
    '[default]\nregion = eu-west-1\n[profile team]\nregion = eu-north-1\nendpoint_url = https://s3.team.example\ns3 =\n  addressing_style = path\n[profile sso]\nsso_session = x\n',
  );
});
afterEach(() => rm(folder, { recursive: true }));

describe('AWS’s settings', () => {
  it('are those of the default profile where nobody says otherwise', async () => {
    expect(await readAwsSettings(files)).toEqual({
      credentials: { accessKeyId: 'DEFAULT', secretAccessKey: 'one=two', sessionToken: null },
      region: 'eu-west-1',
      endpoint: null,
      unused: null,
    });
  });

  it('are those of the profile that is named, from both files', async () => {
    expect(await readAwsSettings({ ...files, AWS_PROFILE: 'team' })).toEqual({
      credentials: { accessKeyId: 'TEAM', secretAccessKey: 'three', sessionToken: 'four' },
      region: 'eu-north-1',
      endpoint: 'https://s3.team.example',
      unused: null,
    });
  });

  it('come from the environment first', async () => {
    const env = {
      ...files,
      AWS_ACCESS_KEY_ID: 'ENV',
      AWS_SECRET_ACCESS_KEY: 's',
      AWS_REGION: 'us-west-2',
      AWS_ENDPOINT_URL_S3: 'http://e',
    };
    expect(await readAwsSettings(env)).toMatchObject({
      credentials: { accessKeyId: 'ENV', sessionToken: null },
      region: 'us-west-2',
      endpoint: 'http://e',
    });
  });

  it('are none where there are none: then S3 is asked anonymously', async () => {
    const env = { AWS_SHARED_CREDENTIALS_FILE: join(folder, 'no'), AWS_CONFIG_FILE: join(folder, 'none') };
    expect(await readAwsSettings(env)).toEqual({ credentials: null, region: null, endpoint: null, unused: null });
  });

  it('say which way to credentials is not taken', async () => {
    expect((await readAwsSettings({ ...files, AWS_PROFILE: 'sso' })).unused).toBe('sso_session');
    expect((await readAwsSettings({ ...files, AWS_WEB_IDENTITY_TOKEN_FILE: '/x' })).unused).toBe(
      'AWS_WEB_IDENTITY_TOKEN_FILE',
    );
  });

  it('are refused where they are half ones, or of a profile that is not there', async () => {
    await expect(readAwsSettings({ ...files, AWS_PROFILE: 'half' })).rejects.toThrow(/half.*are half ones/);
    await expect(readAwsSettings({ ...files, AWS_ACCESS_KEY_ID: 'x' })).rejects.toThrow(/half ones/);
    await expect(readAwsSettings({ ...files, AWS_PROFILE: 'nobody' })).rejects.toThrow(/there is no such profile/);
  });
});
