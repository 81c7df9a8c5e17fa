/** How this pack names itself to peers (PS3.7, D.3.3.2). */
export const IMPLEMENTATION = {
  classUID: '2.25.18683047404776535364001911128544453745',
  versionName: 'EXDICOM_1',
} as const;

/** The root of DCMTK's Implementation Class UIDs; Orthanc and much else is built on it. */
export const DCMTK_ROOT = '1.2.276.0.7230010.3.';
